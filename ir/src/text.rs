//! A cursor over text: what the parsers of dims, types and graphs are made of.
//!
//! Methods skip white space (not newlines) before they look. Errors are plain messages; the parser that
//! owns the cursor adds line and column.

/// A position in a string.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    src: &'a str,
    pos: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(src: &'a str) -> Cursor<'a> {
        Cursor { src, pos: 0 }
    }

    /// Byte position, after white space.
    pub(crate) fn pos(&mut self) -> usize {
        self.skip();
        self.pos
    }

    fn skip(&mut self) {
        let rest = &self.src[self.pos..];
        self.pos += rest.len() - rest.trim_start_matches([' ', '\t', '\r']).len();
    }

    pub(crate) fn rest(&mut self) -> &'a str {
        self.skip();
        &self.src[self.pos..]
    }

    /// Takes `token` if it is next.
    pub(crate) fn eat(&mut self, token: &str) -> bool {
        let hit = self.rest().starts_with(token);
        if hit {
            self.pos += token.len();
        }
        hit
    }

    /// Takes a whole word if it is next.
    pub(crate) fn eat_word(&mut self, word: &str) -> bool {
        let before = self.pos;
        if self.ident() == Some(word) {
            return true;
        }
        self.pos = before;
        false
    }

    pub(crate) fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.eat(token) {
            return Ok(());
        }
        Err(format!("expected `{token}`, found {}", self.found()))
    }

    /// Letters, digits and `_`, not starting with a digit.
    pub(crate) fn ident(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        if !rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            return None;
        }
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        self.pos += end;
        Some(&rest[..end])
    }

    /// An unsigned decimal number, if a digit is next.
    pub(crate) fn number(&mut self) -> Result<Option<i64>, String> {
        let rest = self.rest();
        let end = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        if end == 0 {
            return Ok(None);
        }
        let value = rest[..end]
            .parse()
            .map_err(|_| format!("`{}` does not fit 64 bits", &rest[..end]))?;
        self.pos += end;
        Ok(Some(value))
    }

    /// An unsigned number that must be there.
    pub(crate) fn index(&mut self) -> Result<usize, String> {
        let found = self.found();
        self.number()?
            .and_then(|n| usize::try_from(n).ok())
            .ok_or(format!("expected a number, found {found}"))
    }

    /// A name between back quotes, if one is next.
    pub(crate) fn back_quoted(&mut self) -> Result<Option<&'a str>, String> {
        if !self.eat("`") {
            return Ok(None);
        }
        let rest = &self.src[self.pos..];
        let end = rest
            .find(['`', '\n'])
            .filter(|i| rest[*i..].starts_with('`'));
        let end = end.ok_or("a back-quoted name has no end")?;
        self.pos += end + 1;
        Ok(Some(&rest[..end]))
    }

    /// A string in double quotes with `\"`, `\\`, `\n`, `\t`, `\r` and `\u{hex}`.
    pub(crate) fn string(&mut self) -> Result<String, String> {
        self.expect("\"")?;
        let mut out = String::new();
        let rest = &self.src[self.pos..];
        let mut chars = rest.char_indices();
        while let Some((i, c)) = chars.next() {
            match c {
                '"' => {
                    self.pos += i + 1;
                    return Ok(out);
                }
                '\n' => break,
                '\\' => out.push(escape(&mut chars)?),
                c => out.push(c),
            }
        }
        Err("a string has no closing quote".into())
    }

    /// Text up to the next `,` or `close` outside brackets and quotes.
    pub(crate) fn raw_value(&mut self, close: char) -> Result<&'a str, String> {
        let rest = self.rest();
        let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
        for (i, c) in rest.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                _ if quoted => {}
                c if depth == 0 && (c == ',' || c == close) => {
                    self.pos += i;
                    return Ok(rest[..i].trim_end());
                }
                '[' | '(' | '{' => depth += 1,
                ']' | ')' | '}' => depth = depth.saturating_sub(1),
                '\n' => break,
                _ => {}
            }
        }
        Err(format!("expected `{close}` before the end of the line"))
    }

    /// Nothing may be left.
    pub(crate) fn end(&mut self) -> Result<(), String> {
        if self.rest().is_empty() {
            Ok(())
        } else {
            Err(format!("unexpected {}", self.found()))
        }
    }

    /// What is next, for messages.
    pub(crate) fn found(&mut self) -> String {
        let rest = self.rest();
        let word: String = rest
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .take(24)
            .collect();
        match (word.is_empty(), rest.chars().next()) {
            (false, _) => format!("`{word}`"),
            (true, Some(c)) if c != '\n' => format!("`{c}`"),
            _ => "the end of the line".into(),
        }
    }
}

fn escape(chars: &mut std::str::CharIndices<'_>) -> Result<char, String> {
    match chars.next().map(|(_, c)| c) {
        Some('n') => Ok('\n'),
        Some('t') => Ok('\t'),
        Some('r') => Ok('\r'),
        Some(c @ ('"' | '\\')) => Ok(c),
        Some('u') => {
            let digits: String = chars
                .map(|(_, c)| c)
                .skip_while(|c| *c == '{')
                .take_while(|c| *c != '}')
                .collect();
            let code = u32::from_str_radix(&digits, 16)
                .ok()
                .and_then(char::from_u32);
            code.ok_or_else(|| format!("`\\u{{{digits}}}` is not a character"))
        }
        Some(c) => Err(format!("`\\{c}` is not an escape")),
        None => Err("a string ends in a backslash".into()),
    }
}

/// A string in double quotes that [`Cursor::string`] reads back.
pub(crate) fn quote(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 2);
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => out.push_str(&format!("\\u{{{:x}}}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
