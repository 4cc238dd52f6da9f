//! The floor under a call over HTTP: an axum server that gives the body back, in a process of its own with
//! as many runtime threads as `bulkhead` has.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};

use axum::extract::DefaultBodyLimit;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;
use axum::serve::ListenerExt as _;
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::process::Command;

use super::super::helper::{Error, Helper};
use super::super::load::Target;

/// Its only path.
const PATH: &str = "/echo";
/// Largest body: what an input may be at all.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

/// A running echo server.
pub(crate) struct Echo {
    address: SocketAddr,
    /// The server; ends with this value.
    _helper: Helper,
}

impl Echo {
    /// Starts it: this executable with the arguments that make it call [`serve`].
    pub(crate) async fn start(command: Command) -> Result<Self, Error> {
        let mut helper = Helper::start("echo server", command)?;
        let port = helper.hear().await?;
        let Ok(port) = port.parse::<u16>() else { return Err(helper.misunderstood(port)) };
        Ok(Self { address: (Ipv4Addr::LOCALHOST, port).into(), _helper: helper })
    }

    /// Calls with a body.
    pub(crate) fn target(&self, content_type: &str, body: &[u8]) -> Target {
        Target::post(self.address, PATH, content_type, body)
    }
}

/// Serves until nobody can write to its standard input any more; says its port first.
pub(crate) async fn serve() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = listener.local_addr()?.port();
    // Without this an answer would wait for the acknowledgement of the one before.
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let echo = post(|body: Bytes| async move { ([(CONTENT_TYPE, "application/json")], body) });
    let router = axum::Router::new().route(PATH, echo).layer(DefaultBodyLimit::max(MAX_BODY_BYTES));
    writeln!(io::stdout(), "{port}")?;
    let closed = tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink()));
    tokio::select! {
        served = async { axum::serve(listener, router).await } => served,
        _ = closed => Ok(()),
    }
}
