//! Takes connections and serves HTTP/1 on them. Beside what `axum::serve` does, it bounds how many
//! there are and how long a client may take over a request's head.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::front::Front;
use super::linger::with_linger;
use crate::config::GatewayBounds;

/// Wait after the system refused a connection for want of something, as file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(500);

/// Serves connections until `closing` is cancelled, then until the last request is answered.
pub async fn serve(listener: TcpListener, front: Front, bounds: GatewayBounds, closing: CancellationToken) {
    let places = Arc::new(Semaphore::new(bounds.connections));
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    // The timer also ends connections that are silent between two requests.
    http.timer(TokioTimer::new()).header_read_timeout(bounds.head_timeout.0);
    loop {
        let accepted = async {
            // A place first: who finds none waits in the system's backlog.
            let place = Arc::clone(&places).acquire_owned().await;
            (place, accept(&listener).await)
        };
        let (place, stream) = tokio::select! {
            () = closing.cancelled() => break,
            accepted = accepted => accepted,
        };
        let service = front.clone().map_request(with_linger);
        let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _place = place;
            // What goes wrong here is a client that left or talks no HTTP.
            if let Err(error) = connection.await {
                tracing::debug!(error = &error as &dyn std::error::Error, "a connection failed");
            }
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// The next connection.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are written in one piece; waiting for more would only delay them.
                let _ = stream.set_nodelay(true);
                return stream;
            }
            // The client left before it was its turn.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
                ) => {}
            Err(error) => {
                tracing::error!(%error, "failed to take a connection");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::JoinHandle;

    use super::*;
    use crate::gateway::api::DurationText;

    const DEADLINE: Duration = Duration::from_secs(10);

    async fn start(bounds: GatewayBounds) -> (std::net::SocketAddr, CancellationToken, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let closing = CancellationToken::new();
        let front = Front::new(Router::new().route("/", get(|| async { "hello" })), None);
        (address, closing.clone(), tokio::spawn(serve(listener, front, bounds, closing)))
    }

    /// Asks on a connection and reads until the answer is whole.
    async fn ask(stream: &mut TcpStream) -> String {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        while !answer.ends_with("hello") {
            let mut bytes = [0; 1024];
            let count = tokio::time::timeout(DEADLINE, stream.read(&mut bytes)).await.unwrap().unwrap();
            assert_ne!(count, 0, "the connection ended after {answer:?}");
            answer.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        }
        answer
    }

    #[tokio::test]
    async fn a_connection_beyond_the_bound_waits_for_a_place() {
        let (address, ..) = start(GatewayBounds { connections: 1, ..GatewayBounds::default() }).await;
        let mut first = TcpStream::connect(address).await.unwrap();
        ask(&mut first).await;
        let mut second = TcpStream::connect(address).await.unwrap();
        let mut answer = Box::pin(ask(&mut second));
        // Another request on the first is answered while the second waits.
        assert!(futures_util::poll!(&mut answer).is_pending());
        ask(&mut first).await;
        assert!(futures_util::poll!(&mut answer).is_pending());
        drop(first);
        assert!(answer.await.starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn a_client_that_sends_half_a_head_is_given_up() {
        let head_timeout = DurationText(Duration::from_millis(50));
        let (address, ..) = start(GatewayBounds { head_timeout, ..GatewayBounds::default() }).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
        let end = tokio::time::timeout(DEADLINE, stream.read(&mut [0; 16])).await.unwrap();
        assert!(matches!(end, Ok(0) | Err(_)));
    }

    #[tokio::test]
    async fn closing_ends_idle_connections() {
        let (address, closing, serving) = start(GatewayBounds::default()).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        ask(&mut stream).await;
        closing.cancel();
        tokio::time::timeout(DEADLINE, serving).await.unwrap().unwrap();
        assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0);
    }
}
