//! The gateway at its port.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::listener::Listener;
use crate::config::Config;
use crate::gateway::{self, Gateway};

/// How long answers may take to leave after everything that runs has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// A gateway that listens.
pub(in crate::cli) struct Front {
    /// Answers.
    gateway: Arc<Gateway>,
    /// Cancelled when no more connections are taken.
    closing: CancellationToken,
    /// Serves connections until the last one is closed.
    serving: JoinHandle<()>,
    /// Whether it has closed the last one.
    is_over: bool,
}

impl Front {
    /// Serves a gateway.
    pub(in crate::cli) fn start(config: &Config, listener: Listener, parts: gateway::Parts) -> anyhow::Result<Self> {
        let gateway = Gateway::new(config, parts);
        let closing = CancellationToken::new();
        let service = gateway::service(&gateway);
        let serving = gateway::serve(listener.into_socket()?, service, config.gateway.clone(), closing.clone());
        Ok(Self { gateway, closing, serving: tokio::spawn(serving), is_over: false })
    }

    /// Takes no more connections and no new work.
    pub(super) fn close(&self) {
        self.closing.cancel();
    }

    /// Waits until synchronous calls have ended and connections are closed, at most `grace` for each.
    pub(super) async fn drain(&mut self, grace: Duration) {
        let connections = tokio::time::timeout(grace, &mut self.serving);
        let ((), connections) = tokio::join!(self.gateway.drain(grace), connections);
        self.is_over = connections.is_ok();
    }

    /// Lets the last answers leave.
    pub(super) async fn end(mut self) {
        // Calls that outlived their wait only during the drain were killed just now.
        let _ = tokio::time::timeout(LAST_ANSWERS, self.gateway.drain(Duration::ZERO)).await;
        if !self.is_over && tokio::time::timeout(LAST_ANSWERS, &mut self.serving).await.is_err() {
            self.serving.abort();
        }
    }
}
