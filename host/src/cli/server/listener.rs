//! The port for requests: taken first of all, so that a second server on it is told so before it
//! touches anything. While the store is waited for, it answers that the server lives.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::gateway;

/// How long the last request may take to arrive whole.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// A port that is listened on.
pub(in crate::cli) struct Listener {
    /// Not served by the runtime yet: two services may take turns at it.
    socket: std::net::TcpListener,
    /// Where it is.
    address: SocketAddr,
}

/// Answers while the store is waited for; ends when dropped.
pub(super) struct Awaiting {
    /// Serves connections.
    serving: JoinHandle<()>,
    /// Cancelled when no more are taken.
    closing: CancellationToken,
}

impl Listener {
    /// Listens as configured.
    ///
    /// # Errors
    /// An address beyond this machine without consent, and what the system says.
    pub(in crate::cli) async fn bind(config: &Config) -> anyhow::Result<Self> {
        config.check_front()?;
        let socket = listen(SocketAddr::new(config.host, config.port)).await?.into_std();
        let socket = socket.context("failed to listen")?;
        let address = socket.local_addr().context("failed to read the own address")?;
        Ok(Self { socket, address })
    }

    /// Its address for clients.
    pub(in crate::cli) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The socket for good: the port closes with it.
    pub(super) fn into_socket(self) -> anyhow::Result<TcpListener> {
        TcpListener::from_std(self.socket).context("failed to listen")
    }

    /// Answers that the server lives and is not ready, until the answer is dropped.
    pub(super) fn await_store(&self, config: &Config) -> anyhow::Result<Awaiting> {
        let closing = CancellationToken::new();
        let socket = self.socket.try_clone().and_then(TcpListener::from_std).context("failed to listen")?;
        let serving = gateway::serve(socket, gateway::awaiting_store(config), config.gateway.clone(), closing.clone());
        Ok(Awaiting { serving: tokio::spawn(serving), closing })
    }
}

impl Awaiting {
    /// Answers who asked already, and ends. The port stays open.
    pub(super) async fn end(mut self) {
        self.closing.cancel();
        // Its answers take no time, and connections that are silent are closed; one that is in the middle of
        // a request's head may not be.
        let _ = tokio::time::timeout(LAST_ANSWERS, &mut self.serving).await;
    }
}

impl Drop for Awaiting {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let why = match error.kind() {
            ErrorKind::AddrInUse => "the port is in use; --port 0 takes a free one".to_owned(),
            ErrorKind::PermissionDenied => "ports below 1024 need privileges; choose a higher one".to_owned(),
            _ => error.to_string(),
        };
        anyhow::anyhow!("failed to listen on {address}: {why}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_told_with_a_way_out() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let message = listen(address).await.unwrap_err().to_string();
        assert!(message.contains(&address.to_string()) && message.contains("in use"), "{message}");
    }

    #[tokio::test]
    async fn it_answers_while_the_store_is_awaited_and_is_served_by_another_afterwards() {
        let config = Config { port: 0, ..Config::default() };
        let listener = Listener::bind(&config).await.unwrap();
        let ask = async |path: &str| {
            let answer = reqwest::get(format!("http://{}{path}", listener.address)).await.unwrap();
            answer.status().as_u16()
        };
        let awaiting = listener.await_store(&config).unwrap();
        assert_eq!((ask("/healthz").await, ask("/readyz").await), (200, 503));
        awaiting.end().await;
        // A connection in between waits for whoever serves next.
        let asked = tokio::spawn(reqwest::get(format!("http://{}/healthz", listener.address)));
        let next = listener.await_store(&config).unwrap();
        assert_eq!(asked.await.unwrap().unwrap().status(), 200);
        next.end().await;
    }
}
