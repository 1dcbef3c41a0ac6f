//! Where a subcommand writes: results, remarks, progress.

use crate::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The streams of a subcommand. Results go to `out`, remarks and errors to `err`.
pub struct Io<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    progress: bool,
}

impl<'a> Io<'a> {
    /// Streams without a progress display, e.g. for tests.
    pub fn new(out: &'a mut dyn Write, err: &'a mut dyn Write) -> Io<'a> {
        Io {
            out,
            err,
            progress: false,
        }
    }

    /// Turns the progress display on standard error on or off.
    pub fn with_progress(mut self, on: bool) -> Io<'a> {
        self.progress = on;
        self
    }

    /// Writes a result as it is.
    ///
    /// # Errors
    /// [`Error::Pipe`] if the reader has gone away, otherwise what the system says.
    pub fn print(&mut self, text: impl Display) -> Result<(), Error> {
        written(write!(self.out, "{text}"))
    }

    /// Writes a line of a result.
    ///
    /// # Errors
    /// As [`Io::print`].
    pub fn line(&mut self, text: impl Display) -> Result<(), Error> {
        written(writeln!(self.out, "{text}"))
    }

    /// Writes a result as one JSON object.
    ///
    /// # Errors
    /// As [`Io::print`].
    pub fn json(&mut self, value: &impl serde::Serialize) -> Result<(), Error> {
        match serde_json::to_string_pretty(value) {
            Ok(text) => self.line(text),
            Err(e) => Err(Error::failed(format!(
                "cannot write the result as JSON: {e}"
            ))),
        }
    }

    /// Hands everything written so far to the reader.
    ///
    /// # Errors
    /// As [`Io::print`].
    pub fn flush(&mut self) -> Result<(), Error> {
        written(self.out.flush())
    }

    /// Writes a remark. A remark that cannot be written is no error.
    pub fn note(&mut self, text: impl Display) {
        let _ = writeln!(self.err, "{text}");
    }

    /// Shows `what` with the elapsed time on the terminal while the returned value lives,
    /// from the first second on. Shows nothing where standard error is not a terminal.
    pub fn progress(&self, what: &str) -> Progress {
        if self.progress {
            Progress::start(what)
        } else {
            Progress { shared: None }
        }
    }
}

fn written(result: io::Result<()>) -> Result<(), Error> {
    result.map_err(|e| match e.kind() {
        io::ErrorKind::BrokenPipe => Error::Pipe,
        _ => Error::failed(format!("cannot write to standard output: {e}")),
    })
}

/// A line on the terminal that says what is going on; see [`Io::progress`].
pub struct Progress {
    shared: Option<Shared>,
}

struct Shared {
    text: Arc<Mutex<String>>,
    stop: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// The display starts only when something takes this long.
    const PATIENCE: Duration = Duration::from_secs(1);
    const REDRAW: Duration = Duration::from_millis(200);

    fn start(what: &str) -> Progress {
        let text = Arc::new(Mutex::new(what.to_string()));
        let (stop, stopped) = channel();
        let shown = Arc::clone(&text);
        let thread = std::thread::spawn(move || draw(&shown, &stopped));
        Progress {
            shared: Some(Shared {
                text,
                stop,
                thread: Some(thread),
            }),
        }
    }

    /// Replaces the text.
    pub fn set(&self, what: impl FnOnce() -> String) {
        if let Some(shared) = &self.shared
            && let Ok(mut text) = shared.text.lock()
        {
            *text = what();
        }
    }
}

fn draw(text: &Mutex<String>, stopped: &Receiver<()>) {
    let start = Instant::now();
    let mut wait = Progress::PATIENCE;
    let mut drawn = false;
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(wait) {
        wait = Progress::REDRAW;
        drawn = true;
        let what = text.lock().map(|t| t.clone()).unwrap_or_default();
        let _ = write!(
            io::stderr(),
            "\r\x1b[K{what} ... {:.1} s",
            start.elapsed().as_secs_f64()
        );
        let _ = io::stderr().flush();
    }
    if drawn {
        let _ = write!(io::stderr(), "\r\x1b[K");
        let _ = io::stderr().flush();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(shared) = &mut self.shared {
            let _ = shared.stop.send(());
            if let Some(thread) = shared.thread.take() {
                let _ = thread.join();
            }
        }
    }
}
