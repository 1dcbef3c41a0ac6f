//! The errors of the command line: what is printed, and with which code the process ends.

use std::fmt;

/// Why a subcommand ended early.
#[derive(Debug)]
pub enum Error {
    /// The command line asks for something that makes no sense; exit code 2.
    Usage(String),
    /// The input (or the machine) does not allow it; exit code 1.
    Failed {
        /// What could not be done.
        message: String,
        /// Why, if another error says so.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// Whoever read the output has gone away; nothing is printed, exit code 0.
    Pipe,
}

impl Error {
    /// A problem in the input without a deeper cause.
    pub fn failed(message: impl Into<String>) -> Error {
        Error::Failed {
            message: message.into(),
            source: None,
        }
    }

    /// The exit code: 0 fine, 1 problem in the input, 2 wrong usage.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Pipe => 0,
            Error::Failed { .. } => 1,
            Error::Usage(_) => 2,
        }
    }

    /// The text that is printed: `error: ...` and one `caused by: ...` line for each deeper cause.
    /// A cause that only repeats the line above it is left out.
    pub fn report(&self) -> String {
        let mut text = format!("error: {self}\n");
        let mut last = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            let line = cause.to_string();
            if !last.ends_with(&line) {
                text.push_str(&format!("  caused by: {}\n", line.replace('\n', "\n    ")));
            }
            last = line;
            next = cause.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Usage(message) => write!(f, "{message}"),
            Error::Failed { message, .. } => write!(f, "{message}"),
            Error::Pipe => write!(f, "the output was closed"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Failed {
                source: Some(source),
                ..
            } => Some(source.as_ref()),
            _ => None,
        }
    }
}

/// Adds what was being done to an error.
pub trait Context<T> {
    /// Wraps the error: `message` first, the original as its cause.
    ///
    /// # Errors
    /// The wrapped error.
    fn context(self, message: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T, E: Into<Box<dyn std::error::Error + Send + Sync>>> Context<T> for Result<T, E> {
    fn context(self, message: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::Failed {
            message: message(),
            source: Some(source.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_printed_once_each() {
        let inner: Result<(), Error> = Err(Error::failed("no such file"));
        let outer = inner.context(|| "cannot read `a`".into()).unwrap_err();
        assert_eq!(
            outer.report(),
            "error: cannot read `a`\n  caused by: no such file\n"
        );
        assert_eq!(outer.exit_code(), 1);

        let repeated: Result<(), Error> = Err(Error::failed("no such file"));
        let outer = repeated
            .context(|| "cannot read `a`: no such file".into())
            .unwrap_err();
        assert_eq!(outer.report(), "error: cannot read `a`: no such file\n");
    }

    #[test]
    fn exit_codes() {
        assert_eq!(Error::Usage(String::new()).exit_code(), 2);
        assert_eq!(Error::Pipe.exit_code(), 0);
    }
}
