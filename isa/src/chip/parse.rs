//! Reading a chip file: every unknown, missing or ill-formed key is reported, with its line.

use super::Chip;
use super::check::Problem;
use super::params::{PARAMS, Params, Place, Status, Value};
use std::collections::BTreeSet;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// Keys of a parameter's table.
const PARTS: [&str; 3] = ["value", "source", "status"];

struct Reader<'a> {
    text: &'a str,
    origin: &'a str,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    /// The part of `span` that lies on its first line.
    fn place(&self, span: &Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let inside = self.text.get(span.clone()).unwrap_or("");
        Place {
            line: before.matches('\n').count() + 1,
            column: before.get(start..).unwrap_or("").chars().count() + 1,
            width: inside.lines().next().unwrap_or("").chars().count(),
        }
    }

    fn report(&mut self, at: Option<&Range<usize>>, key: &str, message: impl Into<String>) {
        let place = at.map_or_else(Place::default, |span| self.place(span));
        let problem = Problem::at(self.origin, self.text, place, key, message.into());
        self.problems.push(problem);
    }

    /// A text that must be there and not be empty.
    fn string(
        &mut self,
        table: &DeTable<'_>,
        at: Option<&Range<usize>>,
        key: &str,
        path: &str,
    ) -> Option<String> {
        match table.get(key).map(|v| (v.span(), v.get_ref())) {
            Some((_, DeValue::String(text))) if !text.trim().is_empty() => Some(text.to_string()),
            Some((at, _)) => {
                self.report(Some(&at), path, format!("needs a text as `{key}`"));
                None
            }
            None => {
                self.report(at, path, format!("has no `{key}`"));
                None
            }
        }
    }
}

/// The chip of `text`, or all that is wrong with it.
pub(super) fn parse(text: &str, origin: &str) -> Result<Chip, Vec<Problem>> {
    let mut reader = Reader {
        text,
        origin,
        problems: Vec::new(),
    };
    let table = match DeTable::parse(text) {
        Ok(table) => table.into_inner(),
        Err(error) => {
            let at = error.span();
            reader.report(at.as_ref(), "", format!("is no TOML: {}", error.message()));
            return Err(reader.problems);
        }
    };
    let name = reader.string(&table, None, "name", "");
    let description = reader.string(&table, None, "description", "");
    let mut params = Params::default();
    for (index, info) in PARAMS.iter().enumerate() {
        let path = info.path();
        let section = entry(&table, info.section);
        let inside = section.and_then(|(_, s)| s.get_ref().as_table());
        match inside.and_then(|s| entry(s, info.key)) {
            Some(found) => read_param(&mut reader, &mut params, index, &path, found),
            None => {
                let at = section.map(|(name, _)| name.span());
                let message = format!("is missing: {}", info.doc.trim());
                reader.report(at.as_ref(), &path, message);
            }
        }
    }
    report_unknown(&mut reader, &table);
    match (name, description) {
        (Some(name), Some(description)) if reader.problems.is_empty() => Ok(Chip {
            name,
            description,
            origin: origin.to_string(),
            params,
            text: text.to_string(),
        }),
        _ => {
            reader.problems.sort_by_key(|p| (p.line, p.column));
            Err(reader.problems)
        }
    }
}

/// A key with its value, both with their places.
type Entry<'a, 't> = (&'a Spanned<DeString<'t>>, &'a Spanned<DeValue<'t>>);

fn entry<'a, 't>(table: &'a DeTable<'t>, name: &str) -> Option<Entry<'a, 't>> {
    table.iter().find(|(key, _)| key.get_ref() == name)
}

fn read_param(
    reader: &mut Reader<'_>,
    params: &mut Params,
    index: usize,
    path: &str,
    (key, value): Entry<'_, '_>,
) {
    let at = key.span();
    let DeValue::Table(parts) = value.get_ref() else {
        reader.report(
            Some(&value.span()),
            path,
            "must be written { value = .., source = \"..\", status = \"..\" }",
        );
        return;
    };
    for part in parts
        .keys()
        .filter(|k| !PARTS.contains(&k.get_ref().as_ref()))
    {
        let message = format!(
            "has an unknown part `{}`; the parts are {}",
            part.get_ref(),
            PARTS.join(", ")
        );
        reader.report(Some(&part.span()), path, message);
    }
    let source = reader
        .string(parts, Some(&at), "source", path)
        .unwrap_or_default();
    let word = reader.string(parts, Some(&at), "status", path);
    let status = word
        .as_deref()
        .and_then(|w| Status::ALL.into_iter().find(|s| s.name() == w));
    if let (Some(word), None) = (&word, status) {
        let names = Status::ALL.map(Status::name).join(", ");
        let place = parts.get("status").map_or(at.clone(), Spanned::span);
        reader.report(
            Some(&place),
            path,
            format!("has status `{word}`; the states are {names}"),
        );
    }
    let Some(value) = parts.get("value") else {
        reader.report(Some(&at), path, "has no `value`");
        return;
    };
    let at = value.span();
    let read = match read_value(value.get_ref()) {
        Some(value) => {
            let (place, status) = (reader.place(&at), status.unwrap_or(Status::Estimate));
            params.set(index, &value, &source, status, place)
        }
        None => Err("needs a number or a word as `value`".to_string()),
    };
    if let Err(message) = read {
        reader.report(Some(&at), path, message);
    }
}

fn read_value(value: &DeValue<'_>) -> Option<Value> {
    match value {
        DeValue::Integer(v) => i64::from_str_radix(v.as_str(), v.radix())
            .ok()
            .map(Value::Int),
        DeValue::Float(v) => v.as_str().parse().ok().map(Value::Float),
        DeValue::String(v) => Some(Value::Text(v.to_string())),
        DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

/// Keys and sections that no parameter has.
fn report_unknown(reader: &mut Reader<'_>, table: &DeTable<'_>) {
    let sections: BTreeSet<&str> = PARAMS.iter().map(|p| p.section).collect();
    for (key, value) in table.iter() {
        let (name, at) = (key.get_ref().as_ref(), key.span());
        if ["name", "description"].contains(&name) {
            continue;
        }
        if !sections.contains(name) {
            let names: Vec<&str> = sections.iter().copied().collect();
            let hint = nearest(name, &names);
            reader.report(
                Some(&at),
                name,
                format!("is no section of a chip file{hint}"),
            );
            continue;
        }
        let Some(section) = value.get_ref().as_table() else {
            reader.report(Some(&at), name, "must be a section");
            continue;
        };
        for key in section.keys() {
            let path = format!("{name}.{}", key.get_ref());
            if !PARAMS.iter().any(|p| p.path() == path) {
                reader.report(Some(&key.span()), &path, unknown_key(&path));
            }
        }
    }
}

/// The rest of a sentence on a key that does not exist.
pub(super) fn unknown_key(path: &str) -> String {
    let known: Vec<String> = PARAMS.iter().map(|p| p.path()).collect();
    let names: Vec<&str> = known.iter().map(String::as_str).collect();
    format!("is no parameter of a chip{}", nearest(path, &names))
}

/// A hint at the most similar of `names`, if one is similar.
fn nearest(word: &str, names: &[&str]) -> String {
    let best = names.iter().min_by_key(|name| distance(word, name));
    match best {
        Some(name) if distance(word, name) <= 1 + word.len() / 3 => {
            format!("; did you mean `{name}`?")
        }
        _ => String::new(),
    }
}

/// Insertions, deletions and replacements that turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
