//! The floor under the worker link: a message from a ROUTER to a DEALER over TCP and back, one at a time.
//! That is two hops.

use std::thread;
use std::time::{Duration, Instant};

use zmq::{Context, DONTWAIT, ROUTER, SocketType};

use super::median_us;

/// Bytes of a message: about a small assignment.
const MESSAGE_BYTES: usize = 200;
/// How long an answer may take.
const ANSWER_WITHIN_MS: i32 = 10_000;
/// The identity of the one who answers.
const PEER: &[u8] = b"peer";

/// Sends messages there and back for a while; gives the median time in microseconds.
pub(crate) fn round_trip_us(during: Duration) -> zmq::Result<f64> {
    let socket = |kind: SocketType| {
        let socket = Context::new().socket(kind)?;
        socket.set_linger(0)?;
        socket.set_rcvtimeo(ANSWER_WITHIN_MS)?;
        socket.set_sndtimeo(ANSWER_WITHIN_MS)?;
        zmq::Result::Ok(socket)
    };
    let router = socket(ROUTER)?;
    router.bind("tcp://127.0.0.1:*")?;
    let endpoint = router.get_last_endpoint()?.unwrap_or_else(|endpoint| String::from_utf8_lossy(&endpoint).into());
    let dealer = socket(zmq::DEALER)?;
    dealer.set_identity(PEER)?;
    dealer.connect(&endpoint)?;
    // Says that it is there, gives back what comes, and ends with an empty message.
    let answers = thread::spawn(move || -> zmq::Result<()> {
        dealer.send("here", 0)?;
        loop {
            let message = dealer.recv_bytes(0)?;
            if message.is_empty() {
                return Ok(());
            }
            dealer.send(message, 0)?;
        }
    });
    let measured = measure(&router, during);
    // It may be gone already; what went wrong is in `measured`.
    let _ = router.send_multipart([PEER, b""], DONTWAIT);
    let _ = answers.join();
    measured
}

fn measure(router: &zmq::Socket, during: Duration) -> zmq::Result<f64> {
    router.recv_multipart(0)?;
    let message = [0; MESSAGE_BYTES];
    let mut times = Vec::new();
    let began = Instant::now();
    while began.elapsed() < during {
        let from = Instant::now();
        router.send_multipart([PEER, &message], 0)?;
        router.recv_multipart(0)?;
        times.push(from.elapsed());
    }
    Ok(median_us(times))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back() {
        assert!(round_trip_us(Duration::from_millis(20)).unwrap() > 0.0);
    }
}
