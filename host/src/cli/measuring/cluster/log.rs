//! What a part says: where it listens, where tasks have come, and the last lines for when it fails.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::sync::watch;

use crate::telemetry::stage;

/// Lines of a part's log that are kept for when it fails.
const KEPT_LINES: usize = 8;
/// Longest line that is read at once; the rest counts as another.
const MAX_LINE_BYTES: u64 = 64 * 1024;
/// Most lines of stages that are kept until somebody takes them.
const MAX_STAGES: usize = 1_000_000;

/// Where a part listens.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Listening {
    /// For requests.
    pub(super) url: String,
    /// For workers, where it takes any.
    pub(super) workers: Option<String>,
}

/// A task has come to a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct StageLine {
    /// Its id.
    pub(in crate::cli) task: String,
    /// The word of the stage.
    pub(in crate::cli) stage: String,
    /// When; microseconds since the Unix epoch.
    pub(in crate::cli) at_us: u64,
}

/// What a part has said so far.
#[derive(Clone, Debug)]
pub(super) struct Log {
    said: Arc<Mutex<Said>>,
    listening: watch::Sender<Option<Listening>>,
}

#[derive(Debug, Default)]
struct Said {
    last: VecDeque<String>,
    stages: Vec<StageLine>,
}

/// A line of a log in JSON, as far as it matters here.
#[derive(Deserialize)]
struct Line<'a> {
    timestamp: &'a str,
    #[serde(default)]
    target: &'a str,
    message: Option<String>,
    task_id: Option<String>,
    stage: Option<String>,
}

impl Log {
    /// Nothing was said yet.
    pub(super) fn new() -> Self {
        Self { said: Arc::default(), listening: watch::Sender::new(None) }
    }

    /// Reads until the part closes its end.
    pub(super) async fn read(self, from: impl AsyncRead + Unpin) {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        loop {
            line.clear();
            match (&mut from).take(MAX_LINE_BYTES).read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => break,
                Ok(_) => self.take(&String::from_utf8_lossy(&line)),
            }
        }
    }

    fn take(&self, text: &str) {
        let text = text.trim_end();
        let line = serde_json::from_str::<Line<'_>>(text).ok();
        if let Some(line) = line {
            if line.target == stage::TARGET {
                return self.take_stage(line);
            }
            if line.message.as_deref() == Some("listening")
                && let Ok(listening) = serde_json::from_str(text)
            {
                self.listening.send_replace(Some(listening));
            }
        }
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.last.len() == KEPT_LINES {
            said.last.pop_front();
        }
        said.last.push_back(text.to_owned());
    }

    fn take_stage(&self, line: Line<'_>) {
        let at = humantime::parse_rfc3339(line.timestamp).ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let (Some(at), Some(task), Some(stage)) = (at, line.task_id, line.stage) else { return };
        let at_us = u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.stages.len() < MAX_STAGES {
            said.stages.push(StageLine { task, stage, at_us });
        }
    }

    /// Waits until the part listens; none when it does not come, or ends before.
    pub(super) async fn listening(&self, within: Duration) -> Option<Listening> {
        let mut receiver = self.listening.subscribe();
        let listening = tokio::time::timeout(within, receiver.wait_for(Option::is_some)).await.ok()?.ok()?;
        listening.clone()
    }

    /// The end of what it said.
    pub(super) fn last_lines(&self) -> Vec<String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).last.iter().cloned().collect()
    }

    /// Takes what it said of stages.
    pub(super) fn take_stages(&self) -> Vec<StageLine> {
        std::mem::take(&mut self.said.lock().unwrap_or_else(PoisonError::into_inner).stages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_part_says_is_taken_apart() {
        let log = Log::new();
        let text = "{\"timestamp\":\"2026-01-02T03:04:05.000006Z\",\"level\":\"INFO\",\"message\":\"listening\",\
             \"url\":\"http://127.0.0.1:1\",\"workers\":\"tcp://127.0.0.1:2\",\"target\":\"bulkhead::cli::up\"}\n\
             {\"timestamp\":\"2026-01-02T03:04:05.123456Z\",\"level\":\"TRACE\",\"task_id\":\"t\",\"stage\":\"sent\",\
             \"target\":\"bulkhead::stage\"}\nno JSON\n";
        log.clone().read(text.as_bytes()).await;
        let listening = log.listening(Duration::ZERO).await.unwrap();
        assert_eq!(
            (listening.url.as_str(), listening.workers.as_deref()),
            ("http://127.0.0.1:1", Some("tcp://127.0.0.1:2"))
        );
        let stages = log.take_stages();
        assert_eq!((stages.len(), stages[0].task.as_str(), stages[0].stage.as_str()), (1, "t", "sent"));
        assert_eq!(stages[0].at_us % 1_000_000, 123_456);
        assert_eq!(log.last_lines().last().map(String::as_str), Some("no JSON"));
    }

    #[tokio::test]
    async fn of_a_long_log_the_end_is_kept() {
        let log = Log::new();
        let text: String = (0..KEPT_LINES + 3).map(|line| format!("{line}\n")).collect();
        log.clone().read(text.as_bytes()).await;
        assert_eq!(log.last_lines().len(), KEPT_LINES);
        assert_eq!(log.last_lines()[0], "3");
    }
}
