//! Many names of the model's nodes in little room: `/model/layers.{0..79}/mlp/{Mul, Add}`.

/// Names as one text, in their order: those that differ in one number that counts up are one, those of one folder share it.
pub fn condensed(names: &[String]) -> String {
    let mut counted: Vec<Counted> = Vec::new();
    for name in names {
        let joined = counted.last_mut().is_some_and(|last| last.join(name));
        if !joined {
            counted.push(Counted::new(name));
        }
    }
    let names: Vec<String> = counted.iter().map(Counted::text).collect();
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for name in &names {
        let (folder, leaf) = match name.rsplit_once('/') {
            Some((folder, leaf)) if !folder.is_empty() => (folder, leaf),
            _ => ("", name.as_str()),
        };
        match groups.last_mut() {
            Some((last, leaves)) if !folder.is_empty() && *last == folder => leaves.push(leaf),
            _ => groups.push((folder, vec![leaf])),
        }
    }
    let text = groups.iter().map(|(folder, leaves)| match &leaves[..] {
        [leaf] if folder.is_empty() => format!("{leaf:?}"),
        [leaf] => format!("{:?}", format!("{folder}/{leaf}")),
        leaves => format!("{:?}", format!("{folder}/{{{}}}", leaves.join(", "))),
    });
    text.collect::<Vec<_>>().join(", ")
}

/// The same, but of many only the first and the last.
pub fn shortened(names: &[String]) -> String {
    const LONGEST: usize = 120;
    let all = condensed(names);
    match names {
        [first, .., last] if all.len() > LONGEST => {
            format!("{first:?} .. {last:?} ({} nodes)", names.len())
        }
        _ => all,
    }
}

/// The first and the last of several names as one: those that differ in one number only have that number as a range.
pub fn from_to(first: &str, last: &str) -> String {
    let (from, to) = (parts(first), parts(last));
    let differ = |i: &usize| from[*i] != to[*i];
    let differing: Vec<usize> = match from.len() == to.len() {
        true => (0..to.len()).filter(differ).collect(),
        false => Vec::new(),
    };
    match differing[..] {
        [at] => match to[at].parse() {
            Ok(last) => {
                let to = Some((at, last));
                format!("{:?}", Counted { parts: from, to }.text())
            }
            Err(_) => format!("{first:?} .. {last:?}"),
        },
        _ => format!("{first:?} .. {last:?}"),
    }
}

/// A name, or several that differ in one number.
struct Counted {
    /// Text and numbers of the first, in turns.
    parts: Vec<String>,
    /// Which part counts, if several are joined, and how far.
    to: Option<(usize, u64)>,
}

impl Counted {
    fn new(name: &str) -> Counted {
        Counted {
            parts: parts(name),
            to: None,
        }
    }

    /// Takes the next name in if it goes on counting.
    fn join(&mut self, name: &str) -> bool {
        let other = parts(name);
        if other.len() != self.parts.len() {
            return false;
        }
        let differ = |i: &usize| self.parts[*i] != other[*i];
        let differing: Vec<usize> = (0..other.len()).filter(differ).collect();
        let [at] = differing[..] else {
            return false;
        };
        let last = match self.to {
            Some((counts, last)) if counts == at => Some(last),
            Some(_) => None,
            None => self.parts[at].parse().ok(),
        };
        let next: Option<u64> = other[at].parse().ok();
        match (last, next) {
            (Some(last), Some(next)) if last.checked_add(1) == Some(next) => {
                self.to = Some((at, next));
                true
            }
            _ => false,
        }
    }

    fn text(&self) -> String {
        let part = |(i, part): (usize, &String)| match self.to {
            Some((at, last)) if at == i => format!("{{{part}..{last}}}"),
            _ => part.clone(),
        };
        self.parts.iter().enumerate().map(part).collect()
    }
}

/// The runs of digits of a name, and what is between them.
fn parts(name: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut digits = None;
    for c in name.chars() {
        match parts.last_mut() {
            Some(part) if digits == Some(c.is_ascii_digit()) => part.push(c),
            _ => parts.push(c.to_string()),
        }
        digits = Some(c.is_ascii_digit());
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> String {
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        condensed(&names)
    }

    #[test]
    fn numbers_that_count_up_are_a_range() {
        assert_eq!(
            of(&[
                "/layers.0/Where_2",
                "/layers.1/Where_2",
                "/layers.2/Where_2"
            ]),
            "\"/layers.{0..2}/Where_2\""
        );
        assert_eq!(of(&["mul_1", "mul_3"]), "\"mul_1\", \"mul_3\"");
        assert_eq!(of(&["a_1_1", "a_2_2"]), "\"a_1_1\", \"a_2_2\"");
        assert_eq!(
            of(&["a_1_1", "a_2_1", "a_2_2"]),
            "\"a_{1..2}_1\", \"a_2_2\""
        );
    }

    #[test]
    fn the_names_of_a_stack_are_one() {
        assert_eq!(from_to("l.0.norm", "l.79.norm"), "\"l.{0..79}.norm\"");
        assert_eq!(from_to("a", "b"), "\"a\" .. \"b\"");
    }

    #[test]
    fn a_folder_is_named_once() {
        assert_eq!(
            of(&["/norm/Pow", "/norm/Sqrt", "/mlp/Mul", "Mul"]),
            "\"/norm/{Pow, Sqrt}\", \"/mlp/Mul\", \"Mul\""
        );
    }

    #[test]
    fn of_many_names_the_ends_are_shown() {
        let names: Vec<String> = (0..40).map(|i| format!("node_{}", i * 2)).collect();
        assert_eq!(shortened(&names), "\"node_0\" .. \"node_78\" (40 nodes)");
    }
}
