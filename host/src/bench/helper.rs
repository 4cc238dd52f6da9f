//! A process that measures something for this one. Lines go to it and come from it; it ends when nobody
//! can write to it any more, so however this process ends.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// A process that measures. Killed when it is dropped.
pub(crate) struct Helper {
    name: &'static str,
    /// Kept for its end.
    _child: Child,
    to: ChildStdin,
    from: Lines<BufReader<ChildStdout>>,
}

/// Why it is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It cannot be started.
    #[error("failed to start the {name}")]
    Start {
        /// Which.
        name: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It is gone.
    #[error("the {name} ended by itself")]
    Ended {
        /// Which.
        name: &'static str,
    },
    /// It said nothing in time.
    #[error("the {name} does not answer")]
    Late {
        /// Which.
        name: &'static str,
    },
    /// It said something else.
    #[error("the {name} answered {answer:?}")]
    Answer {
        /// Which.
        name: &'static str,
        /// What it said.
        answer: String,
    },
}

impl Helper {
    /// Starts a program. What it says on stderr goes where that of this process goes.
    pub(crate) fn start(name: &'static str, mut command: Command) -> Result<Self, Error> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        // Ctrl-C is for this process, which ends its helpers in order.
        command.process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(|source| Error::Start { name, source })?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::Ended { name });
        };
        Ok(Self { name, _child: child, to, from: BufReader::new(from).lines() })
    }

    /// Sends it a line.
    pub(crate) async fn say(&mut self, line: &str) -> Result<(), Error> {
        let line = format!("{line}\n");
        self.to.write_all(line.as_bytes()).await.map_err(|_| Error::Ended { name: self.name })
    }

    /// Waits for its next line.
    pub(crate) async fn hear(&mut self) -> Result<String, Error> {
        let line = tokio::time::timeout(ANSWER_WITHIN, self.from.next_line()).await;
        let line = line.map_err(|_| Error::Late { name: self.name })?;
        line.ok().flatten().ok_or(Error::Ended { name: self.name })
    }

    /// What it said is not what it can say.
    pub(crate) fn misunderstood(&self, answer: String) -> Error {
        Error::Answer { name: self.name, answer }
    }
}
