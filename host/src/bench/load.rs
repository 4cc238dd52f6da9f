//! The load generator: so many keep-alive HTTP/1.1 connections, each with one call at a time, all on one
//! thread of their own. The request is written once and sent as it is, and of an answer only the head is
//! read and the body counted, so that little of the processor is taken from what is measured.

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Most connections at once.
pub(crate) const MAX_CONNECTIONS: u32 = 1024;
/// Most calls of one connection whose times are kept; its calls beyond are counted only.
const MAX_TIMES: usize = 1_000_000;
/// The part of a measurement that goes before it, uncounted: connections, caches and processes are warm then.
const WARM_UP_PART: u32 = 5;
/// How long the answers of a measurement may be late before it has failed.
const LATE_BY: Duration = Duration::from_secs(30);
/// Largest head of an answer.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Room for what is read at once.
const BUFFER_BYTES: usize = 256 * 1024;
/// Most fields in the head of an answer.
const MAX_FIELDS: usize = 64;

/// What is called.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    address: SocketAddr,
    /// Head and body, as they are sent each time.
    request: Bytes,
}

/// How it is called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Connections at once, 1 to [`MAX_CONNECTIONS`].
    pub(crate) connections: u32,
    /// How long calls are counted.
    pub(crate) during: Duration,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Taken {
    /// Calls per second.
    pub(crate) per_second: f64,
    /// The median time of a call in microseconds.
    pub(crate) p50_us: f64,
    /// The time in microseconds below which 99 % of the calls were.
    pub(crate) p99_us: f64,
}

/// Why a measurement came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The system gave no connection, or broke one.
    #[error("failed to {what} {address}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// With whom.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The answer is none that can be counted.
    #[error("failed to read an answer of {address}: {why}")]
    NotUnderstood {
        /// Who answered.
        address: SocketAddr,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A call was not successful.
    #[error("{address} answered with status {status}")]
    Status {
        /// Who answered.
        address: SocketAddr,
        /// The status.
        status: u16,
    },
    /// No call was over in the time.
    #[error("{address} answered no call in the time")]
    Nothing {
        /// Who was called.
        address: SocketAddr,
    },
    /// Answers did not come.
    #[error("{address} does not answer")]
    Late {
        /// Who was called.
        address: SocketAddr,
    },
    /// There is no thread to do it, or it was told to stop.
    #[error("failed to run the load generator")]
    Stopped,
}

impl Target {
    /// Calls by POST of the same body.
    pub(crate) fn post(address: SocketAddr, path: &str, content_type: &str, body: &[u8]) -> Self {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        Self { address, request: [head.as_bytes(), body].concat().into() }
    }
}

/// Loads a target.
///
/// # Errors
/// See [`Error`]: the first call that is not answered with a 200 ends it.
///
/// # Cancel safety
/// The thread stops when the future is dropped.
pub(crate) async fn run(target: &Target, load: Load) -> Result<Taken, Error> {
    let (tell, told) = oneshot::channel();
    let stop = CancellationToken::new();
    let _stop_with_caller = stop.clone().drop_guard();
    let target = target.clone();
    let begun = thread::Builder::new().name("load".to_owned()).spawn(move || {
        // Nobody waits any more when it was told to stop.
        let _ = tell.send(on_this_thread(&target, load, &stop));
    });
    begun.map_err(|_| Error::Stopped)?;
    told.await.unwrap_or(Err(Error::Stopped))
}

/// Calls one after the other with a pause before each; gives the time of each in microseconds.
///
/// # Errors
/// As [`run`].
pub(crate) async fn after_quiet(target: &Target, calls: u32, quiet: Duration) -> Result<Vec<f64>, Error> {
    let mut connection = Connection::open(target.clone()).await?;
    let mut times = Vec::new();
    for _ in 0..calls {
        tokio::time::sleep(quiet).await;
        let from = Instant::now();
        tokio::time::timeout(LATE_BY, connection.call()).await.map_err(|_| target.late())??;
        times.push(from.elapsed().as_secs_f64() * 1e6);
    }
    Ok(times)
}

impl Target {
    fn late(&self) -> Error {
        Error::Late { address: self.address }
    }
}

fn on_this_thread(target: &Target, load: Load, stop: &CancellationToken) -> Result<Taken, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|_| Error::Stopped)?;
    let longest = load.during + load.during / WARM_UP_PART + LATE_BY;
    runtime.block_on(async {
        tokio::select! {
            () = stop.cancelled() => Err(Error::Stopped),
            taken = tokio::time::timeout(longest, all(target, load)) => taken.map_err(|_| target.late())?,
        }
    })
}

async fn all(target: &Target, load: Load) -> Result<Taken, Error> {
    let mut connections = Vec::new();
    for _ in 0..load.connections.clamp(1, MAX_CONNECTIONS) {
        connections.push(Connection::open(target.clone()).await?);
    }
    let from = Instant::now() + load.during / WARM_UP_PART;
    let window = Window { from, until: from + load.during };
    let mut under_way = JoinSet::new();
    for connection in connections {
        under_way.spawn(connection.calls(window));
    }
    let mut counted = 0;
    let mut times = Vec::new();
    while let Some(ended) = under_way.join_next().await {
        let taken = ended.map_err(|_| Error::Stopped)??;
        counted += taken.calls;
        times.extend(taken.times_ns);
    }
    if times.is_empty() {
        return Err(Error::Nothing { address: target.address });
    }
    times.sort_unstable();
    let at = |share: usize| f64::from(times[(times.len() - 1) * share / 100]) / 1000.0;
    Ok(Taken { per_second: counted as f64 / load.during.as_secs_f64(), p50_us: at(50), p99_us: at(99) })
}

/// The time in which calls count.
#[derive(Clone, Copy, Debug)]
struct Window {
    from: Instant,
    until: Instant,
}

/// What one connection has done.
#[derive(Debug, Default)]
struct Calls {
    calls: u64,
    /// In nanoseconds; more than four seconds count as that.
    times_ns: Vec<u32>,
}

struct Connection {
    target: Target,
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(target: Target) -> Result<Self, Error> {
        let cannot = |source| Error::Io { what: "connect to", address: target.address, source };
        let stream = TcpStream::connect(target.address).await.map_err(cannot)?;
        stream.set_nodelay(true).map_err(cannot)?;
        Ok(Self { target, stream, buffer: vec![0; BUFFER_BYTES] })
    }

    /// Calls until the time is over.
    async fn calls(mut self, window: Window) -> Result<Calls, Error> {
        let mut taken = Calls::default();
        loop {
            let from = Instant::now();
            if from >= window.until {
                return Ok(taken);
            }
            self.call().await?;
            let done = Instant::now();
            // A call counts where it ends: those under way at both ends make up for each other.
            if done >= window.from && done < window.until {
                taken.calls += 1;
                if taken.times_ns.len() < MAX_TIMES {
                    taken.times_ns.push(u32::try_from((done - from).as_nanos()).unwrap_or(u32::MAX));
                }
            }
        }
    }

    async fn call(&mut self) -> Result<(), Error> {
        let address = self.target.address;
        let broken = |source| Error::Io { what: "talk to", address, source };
        self.stream.write_all(&self.target.request).await.map_err(broken)?;
        let mut filled = 0;
        let head = loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await.map_err(broken)?;
            if read == 0 {
                return Err(broken(io::ErrorKind::UnexpectedEof.into()));
            }
            filled += read;
            match Head::parse(&self.buffer[..filled]) {
                Ok(Some(head)) => break head,
                Ok(None) if filled < MAX_HEAD_BYTES => {}
                Ok(None) => return Err(Error::NotUnderstood { address, why: "its head is too long" }),
                Err(why) => return Err(Error::NotUnderstood { address, why }),
            }
        };
        if head.status != 200 {
            return Err(Error::Status { address, status: head.status });
        }
        let Some(mut left) = (head.bytes + head.body_bytes).checked_sub(filled) else {
            return Err(Error::NotUnderstood { address, why: "it is longer than it says" });
        };
        while left > 0 {
            let room = left.min(self.buffer.len());
            match self.stream.read(&mut self.buffer[..room]).await.map_err(broken)? {
                0 => return Err(broken(io::ErrorKind::UnexpectedEof.into())),
                read => left -= read,
            }
        }
        Ok(())
    }
}

/// What matters of the head of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    bytes: usize,
    body_bytes: usize,
}

impl Head {
    /// Reads it; `None` when there is more to come.
    fn parse(bytes: &[u8]) -> Result<Option<Self>, &'static str> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        let length = match response.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err("it is no HTTP/1.1"),
        };
        let field = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
        let field = field.ok_or("it does not say its length")?;
        let body = std::str::from_utf8(field.value).ok().and_then(|value| value.trim().parse().ok());
        let body_bytes = body.ok_or("its length is no number")?;
        Ok(Some(Self { status: response.code.unwrap_or_default(), bytes: length, body_bytes }))
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn heads_are_read_as_far_as_they_matter() {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nx: y\r\n\r\n";
        assert_eq!(Head::parse(head), Ok(Some(Head { status: 200, bytes: head.len(), body_bytes: 3 })));
        assert_eq!(Head::parse(&head[..head.len() - 1]), Ok(None));
        assert!(Head::parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(Head::parse(b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n").is_err());
        assert!(Head::parse(b"nonsense\r\n\r\n").is_err());
    }

    /// A server that gives the same answer to whatever it reads, in pieces of so many bytes.
    async fn serve(answer: &'static [u8], piece: usize) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                tokio::spawn(async move {
                    let mut request = [0; 1024];
                    while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                        for piece in answer.chunks(piece) {
                            if stream.write_all(piece).await.is_err() {
                                return;
                            }
                        }
                    }
                });
            }
        });
        Target::post(address, "/", "text/plain", b"x")
    }

    const SHORT: Load = Load { connections: 3, during: Duration::from_millis(50) };

    #[tokio::test]
    async fn calls_are_counted_however_the_answer_arrives() {
        for piece in [7, 1000] {
            let target = serve(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", piece).await;
            let taken = run(&target, SHORT).await.unwrap();
            assert!(taken.per_second > 0.0 && taken.p50_us > 0.0 && taken.p99_us >= taken.p50_us, "{taken:?}");
            assert_eq!(after_quiet(&target, 3, Duration::ZERO).await.unwrap().len(), 3);
        }
    }

    #[tokio::test]
    async fn what_is_no_success_ends_the_measurement() {
        let of = async |answer| run(&serve(answer, 1000).await, SHORT).await.unwrap_err().to_string();
        assert!(of(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n").await.contains("status 503"));
        assert!(of(b"HTTP/1.1 200 OK\r\n\r\n").await.contains("does not say its length"));
        assert!(of(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nmore").await.contains("longer than it says"));
        let nobody = Target::post("127.0.0.1:1".parse().unwrap(), "/", "text/plain", b"");
        assert!(run(&nobody, SHORT).await.unwrap_err().to_string().contains("failed to connect"));
    }
}
