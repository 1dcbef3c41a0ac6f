//! Tokens of the text form, each with its line and column.

use super::parse::ParseError;

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A bare word: a letter or `_`, then letters, digits, `_`, `.`.
    Word(String),
    /// A quoted string, unescaped.
    Str(String),
    /// The text of an unsigned number.
    Number(String),
    /// A punctuation mark.
    Mark(char),
    /// The end of the text.
    End,
}

/// A token and where it starts, both counted from 1.
#[derive(Clone, Debug)]
pub(super) struct Spanned {
    pub(super) token: Token,
    pub(super) line: u32,
    pub(super) column: u32,
}

impl Token {
    /// How error messages name the token.
    pub(super) fn describe(&self) -> String {
        match self {
            Token::Word(w) => format!("`{w}`"),
            Token::Str(s) => quote(s),
            Token::Number(n) => format!("`{n}`"),
            Token::Mark(c) => format!("`{c}`"),
            Token::End => "the end of the text".into(),
        }
    }
}

/// `text` as a quoted string.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out += &format!("\\u{{{:x}}}", u32::from(c)),
            c => out.push(c),
        }
    }
    out + "\""
}

/// True if `text` lexes as one word.
pub(super) fn is_word(text: &str) -> bool {
    text.starts_with(word_start) && text.chars().all(word_part)
}

fn word_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn word_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '.'
}

struct Lexer<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    line: u32,
    column: u32,
}

/// Splits `text` into tokens; the last one is [`Token::End`]. `;` starts a comment that goes on to the end of its line.
pub(super) fn lex(text: &str) -> Result<Vec<Spanned>, ParseError> {
    let mut lexer = Lexer {
        rest: text.chars().peekable(),
        line: 1,
        column: 1,
    };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blank();
        let (line, column) = (lexer.line, lexer.column);
        let token = lexer.token()?;
        let end = token == Token::End;
        tokens.push(Spanned {
            token,
            line,
            column,
        });
        if end {
            return Ok(tokens);
        }
    }
}

impl Lexer<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        if c == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(c)
    }

    fn skip_blank(&mut self) {
        let mut comment = false;
        while let Some(&c) = self.rest.peek() {
            comment = (comment || c == ';') && c != '\n';
            if !comment && !c.is_whitespace() {
                return;
            }
            self.next();
        }
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) -> String {
        let mut out = String::new();
        while let Some(&c) = self.rest.peek()
            && keep(c)
        {
            out.push(c);
            self.next();
        }
        out
    }

    fn error<T>(&self, message: String) -> Result<T, ParseError> {
        Err(ParseError {
            line: self.line,
            column: self.column,
            message,
        })
    }

    fn token(&mut self) -> Result<Token, ParseError> {
        let Some(&c) = self.rest.peek() else {
            return Ok(Token::End);
        };
        if word_start(c) {
            return Ok(Token::Word(self.take_while(word_part)));
        }
        if c.is_ascii_digit() {
            let mut number = self.take_while(word_part);
            // An exponent's sign: `1e-5`, but not in `0x1e-5`.
            if number.ends_with('e')
                && !number.starts_with("0x")
                && matches!(self.rest.peek(), Some('-' | '+'))
            {
                number.extend(self.next());
                number += &self.take_while(|c| c.is_ascii_digit());
            }
            return Ok(Token::Number(number));
        }
        if c == '"' {
            return self.string();
        }
        if "{}()[],=?+-*/%:@#$".contains(c) {
            self.next();
            return Ok(Token::Mark(c));
        }
        self.error(format!("no token starts with {c:?}"))
    }

    fn string(&mut self) -> Result<Token, ParseError> {
        self.next();
        let mut out = String::new();
        loop {
            match self.next() {
                Some('"') => return Ok(Token::Str(out)),
                Some('\\') => match self.next() {
                    Some(c @ ('"' | '\\')) => out.push(c),
                    Some('u') => out.push(self.unicode()?),
                    _ => {
                        return self.error(
                            "a backslash in a string is followed by `\"`, `\\` or `u{hex}`".into(),
                        );
                    }
                },
                Some('\n') | None => {
                    return self.error("the string does not end on its line".into());
                }
                Some(c) => out.push(c),
            }
        }
    }

    fn unicode(&mut self) -> Result<char, ParseError> {
        let text = self.take_while(|c| c != '}' && c != '"' && c != '\n');
        let hex = text.strip_prefix('{').filter(|_| self.next() == Some('}'));
        let found = hex
            .and_then(|h| u32::from_str_radix(h, 16).ok())
            .and_then(char::from_u32);
        found.map_or_else(
            || self.error(format!("`\\u{text}` is not `\\u{{hex}}` of a character")),
            Ok,
        )
    }
}
