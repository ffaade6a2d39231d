//! How far a run is, on stderr.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use engine::{Nanos, SECOND};

use super::number;
use crate::duration;

/// What happened in the last second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Second {
    /// Since the measured phase began.
    pub(crate) elapsed_ns: Nanos,
    /// As long as it will be.
    pub(crate) total_ns: Nanos,
    pub(crate) vus: u32,
    /// Requests that got their outcome, by the second.
    pub(crate) rate: f64,
    /// Of the response time, if there was a request that succeeded.
    pub(crate) p95_ns: Option<u64>,
    /// Since the measured phase began.
    pub(crate) errors: u64,
    /// Since the measured phase began.
    pub(crate) requests: u64,
}

/// The line: `running (12s/5m0s), 50 VUs, 1234/s, p95 12.3 ms, 0 errors`.
impl fmt::Display for Second {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole_seconds = |ns: Nanos| number::time((ns / SECOND * 1000) as f64);
        let Self { elapsed_ns, total_ns, vus, rate, errors, requests, .. } = *self;
        // The last requests may come later than the end.
        let total_ns = total_ns.max(elapsed_ns);
        write!(f, "running ({}/{})", whole_seconds(elapsed_ns), whole_seconds(total_ns))?;
        write!(f, ", {vus} VUs, {rate:.0}/s")?;
        match self.p95_ns {
            Some(ns) => write!(f, ", p95 {}", duration::show(ns as f64))?,
            None => write!(f, ", p95 -")?,
        }
        write!(f, ", {errors} errors")?;
        if errors > 0 {
            write!(f, " ({})", number::percent(errors as f64 / requests.max(1) as f64))?;
        }
        Ok(())
    }
}

/// Writes progress: on a terminal a line that is drawn anew, elsewhere a line now and then.
pub(crate) struct Progress {
    out: Box<dyn Write>,
    manner: Manner,
    is_drawn: bool,
    next_ns: Nanos,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Not at all.
    Quiet,
    /// A line of at most so many characters is drawn anew.
    Redraw(usize),
    /// A line every [`LINE_EVERY_NS`].
    Lines,
}

const LINE_EVERY_NS: Nanos = 10 * SECOND;
/// To the line's start, and clear it (ECMA-48, CR and EL).
const CLEAR: &str = "\r\x1b[K";
/// Where the terminal does not say.
const WIDTH: usize = 80;

impl Progress {
    /// On stderr.
    pub(crate) fn new() -> Self {
        let stderr = io::stderr();
        let manner = if stderr.is_terminal() {
            let width = rustix::termios::tcgetwinsize(&stderr).map(|size| size.ws_col.into());
            Manner::Redraw(width.ok().filter(|width| *width > 0).unwrap_or(WIDTH))
        } else {
            Manner::Lines
        };
        Self::with(Box::new(stderr), manner)
    }

    /// Says nothing.
    pub(crate) fn quiet() -> Self {
        Self::with(Box::new(io::sink()), Manner::Quiet)
    }

    fn with(out: Box<dyn Write>, manner: Manner) -> Self {
        Self { out, manner, is_drawn: false, next_ns: LINE_EVERY_NS }
    }

    /// A line that stays. That nobody reads it is no reason to stop.
    pub(crate) fn say(&mut self, line: &str) {
        self.clear();
        if self.manner != Manner::Quiet {
            let _ = writeln!(self.out, "{line}");
        }
    }

    /// A second is over.
    pub(crate) fn tick(&mut self, second: &Second) {
        match self.manner {
            Manner::Quiet => {}
            Manner::Redraw(width) => {
                // A line that wraps would not be cleared.
                let line: String = second.to_string().chars().take(width - 1).collect();
                let _ = write!(self.out, "{CLEAR}{line}");
                let _ = self.out.flush();
                self.is_drawn = true;
            }
            Manner::Lines if second.elapsed_ns >= self.next_ns => {
                let _ = writeln!(self.out, "{second}");
                self.next_ns = (second.elapsed_ns / LINE_EVERY_NS + 1) * LINE_EVERY_NS;
            }
            Manner::Lines => {}
        }
    }

    /// Takes the line away that is drawn anew.
    pub(crate) fn clear(&mut self) {
        if self.is_drawn {
            let _ = write!(self.out, "{CLEAR}");
            let _ = self.out.flush();
            self.is_drawn = false;
        }
    }
}

/// What is written next begins in a line of its own.
impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn second(elapsed_ns: Nanos) -> Second {
        Second {
            elapsed_ns,
            total_ns: 300 * SECOND,
            vus: 50,
            rate: 1234.4,
            p95_ns: Some(12_345_678),
            errors: 0,
            requests: 10_000,
        }
    }

    fn written(manner: Manner, play: impl FnOnce(&mut Progress)) -> String {
        let written = Written::default();
        play(&mut Progress::with(Box::new(written.clone()), manner));
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_line_has_all_that_is_known() {
        assert_eq!(
            second(12 * SECOND).to_string(),
            "running (12s/5m0s), 50 VUs, 1234/s, p95 12.3 ms, 0 errors"
        );
        let failing = Second { errors: 25, p95_ns: None, rate: 0.0, ..second(301 * SECOND) };
        assert_eq!(
            failing.to_string(),
            "running (5m1s/5m1s), 50 VUs, 0/s, p95 -, 25 errors (0.25%)"
        );
    }

    #[test]
    fn on_a_terminal_a_line_is_drawn_anew_and_garbles_nothing() {
        let text = written(Manner::Redraw(20), |progress| {
            progress.say("warming up");
            progress.tick(&second(SECOND));
            progress.tick(&second(2 * SECOND));
            progress.say("target gateway is slow");
            progress.tick(&second(3 * SECOND));
        });
        assert_eq!(
            text.replace(CLEAR, "<clear>"),
            "warming up\n<clear>running (1s/5m0s), <clear>running (2s/5m0s), \
             <clear>target gateway is slow\n<clear>running (3s/5m0s), <clear>"
        );
    }

    #[test]
    fn elsewhere_there_is_a_line_every_ten_seconds() {
        let text = written(Manner::Lines, |progress| {
            progress.say("measuring");
            (1..=35).for_each(|elapsed| progress.tick(&second(elapsed * SECOND)));
        });
        let elapsed: Vec<_> = text.lines().map(|line| line.split(',').next().unwrap()).collect();
        assert_eq!(
            elapsed,
            ["measuring", "running (10s/5m0s)", "running (20s/5m0s)", "running (30s/5m0s)"]
        );
    }

    #[test]
    fn quiet_is_quiet() {
        let text = written(Manner::Quiet, |progress| {
            progress.say("measuring");
            progress.tick(&second(100 * SECOND));
        });
        assert_eq!(text, "");
    }
}
