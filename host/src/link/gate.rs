//! What stands between the network and a router's socket on a sealed link.
//!
//! libzmq bounds each frame of a message, but not how many frames a message has: it holds them all until
//! the last has come. So anybody who can connect could fill a dispatcher's memory, greeted or not. It
//! also cannot be told to end one connection of a ROUTER. The gate accepts the connections, lets only
//! single frames of bounded length pass to the socket, and ends the connections that the router's thread
//! wants ended.

mod zmtp;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::ReadHalf;
use tokio::net::{TcpListener, TcpStream, UnixStream, unix};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use self::zmtp::{Inspector, Refused};
use super::bounds::{GREETING_TIME, KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_PROBES, LINGER, UNANSWERED_TIME};
use super::refusals::Refusals;

/// Connections beyond the router's peers: those that greet, and those that never will.
pub(super) const STRANGERS: usize = 256;
/// Orders that wait. One that finds no room is given again, as the connection's next frame is refused, too.
const ORDERS: usize = 1024;
/// How much of a connection is read at once, in bytes.
const READ_BYTES: usize = 16 * 1024;
/// How long to wait when the process has no file descriptor left for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A connection's name within libzmq: a mark, its number, and its IP address.
type Name = [u8; NAME_BYTES];
/// See [`Name`].
const NAME_BYTES: usize = 1 + size_of::<u64>() + size_of::<Ipv6Addr>();
/// First byte of a [`Name`]. Names that libzmq gives by itself begin with a zero.
const MARK: u8 = 1;

/// The thread that accepts and inspects connections.
pub(super) struct Gate {
    /// Numbers of connections to end.
    orders: mpsc::Sender<u64>,
    /// The thread.
    thread: JoinHandle<()>,
    /// Where the router's socket listens; nobody else may look into it. Of a process that is killed it
    /// stays, with a dead socket in it.
    _folder: TempDir,
}

/// Where a router listens behind a gate.
pub(super) struct Place {
    /// See [`Gate::_folder`].
    folder: TempDir,
}

impl Place {
    /// Makes one.
    pub(super) fn new() -> io::Result<Self> {
        // Only for this user: tempfile makes folders so.
        Ok(Self { folder: tempfile::Builder::new().prefix("bulkhead-link-").tempdir()? })
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("router")
    }

    /// As libzmq takes it.
    pub(super) fn zmq_address(&self) -> String {
        format!("ipc://{}", self.path().display())
    }
}

impl Gate {
    /// Opens it for `listener`, before a router of at most `peers` that listens at `place`.
    pub(super) fn open(listener: std::net::TcpListener, place: Place, peers: usize) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let (orders, ordered) = mpsc::channel(ORDERS);
        let path = place.path();
        let thread = std::thread::Builder::new().name("bulkhead-gate".to_owned()).spawn(move || {
            runtime.block_on(async move {
                match TcpListener::from_std(listener) {
                    Ok(listener) => keep(listener, &path, peers + STRANGERS, ordered).await,
                    Err(error) => tracing::error!(%error, "failed to listen for workers"),
                }
            });
        })?;
        Ok(Self { orders, thread, _folder: place.folder })
    }

    /// Ends the connection of that name within libzmq. What the router has sent on it may still leave.
    pub(super) fn cut(&self, name: &[u8]) {
        if let Some((number, _)) = parse(name) {
            let _ = self.orders.try_send(number);
        }
    }

    /// Closes it, after the router's socket.
    pub(super) fn close(self) {
        drop(self.orders);
        // A panic of the thread has been reported by its hook.
        let _ = self.thread.join();
    }
}

/// The IP address in a connection's name.
pub(super) fn address(name: &[u8]) -> Option<IpAddr> {
    parse(name).map(|(_, address)| address)
}

fn name(number: u64, address: SocketAddr) -> Name {
    let address = match address.ip() {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    let mut name = [MARK; NAME_BYTES];
    name[1..9].copy_from_slice(&number.to_be_bytes());
    name[9..].copy_from_slice(&address.octets());
    name
}

fn parse(name: &[u8]) -> Option<(u64, IpAddr)> {
    let ([MARK], rest) = name.split_first_chunk()? else { return None };
    let (number, address) = rest.split_first_chunk()?;
    let address: [u8; size_of::<Ipv6Addr>()] = address.try_into().ok()?;
    Some((u64::from_be_bytes(*number), IpAddr::from(address).to_canonical()))
}

/// Accepts connections and serves them, until nobody can give orders any more.
async fn keep(listener: TcpListener, router: &Path, most: usize, mut orders: mpsc::Receiver<u64>) {
    let mut refusals = Refusals::default();
    let mut connections = JoinSet::new();
    let mut cuts = HashMap::new();
    let mut number = 0;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                // Dropped, so closed.
                Ok((_, from)) if connections.len() >= most => {
                    let address = from.ip().to_canonical().to_string();
                    refusals.log(Instant::now().into_std(), Some(&address), "too many connections are open");
                }
                Ok((client, address)) => {
                    number += 1;
                    let (cut, is_cut) = oneshot::channel();
                    cuts.insert(number, cut);
                    let (router, name, number) = (router.to_owned(), name(number, address), number);
                    connections.spawn(async move {
                        (number, address.ip(), serve(client, &router, name, is_cut).await)
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a worker's connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = connections.join_next() => {
                // An error is a panic, and reported.
                if let Ok((number, address, ended)) = ended {
                    cuts.remove(&number);
                    if let Err(End::Refused(why)) = ended {
                        let address = address.to_canonical().to_string();
                        refusals.log(Instant::now().into_std(), Some(&address), why);
                    }
                }
            }
            order = orders.recv() => match order {
                // Dropping the sender is the order.
                Some(number) => drop(cuts.remove(&number)),
                None => break,
            },
        }
    }
    drop(listener);
    // The router's socket is closed, so each connection ends when what was sent on it has left.
    let _ = timeout(LINGER, async { while connections.join_next().await.is_some() {} }).await;
}

/// Why a connection does not go on, if it did not just end.
enum End {
    /// The worker says what does not pass.
    Refused(Refused),
    /// It broke, or nothing came in time.
    Broken,
}

impl From<Refused> for End {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

/// Passes on what may pass, until one side ends or the connection is cut.
async fn serve(mut client: TcpStream, router: &Path, name: Name, cut: oneshot::Receiver<()>) -> Result<(), End> {
    if let Err(error) = prepare(&client) {
        tracing::debug!(%error, "failed to set the options of a worker's connection");
    }
    let mut router = match UnixStream::connect(router).await {
        Ok(router) => router,
        Err(error) => {
            tracing::warn!(%error, "failed to pass a worker's connection on");
            return Err(End::Broken);
        }
    };
    let (mut from_client, mut to_client) = client.split();
    let (mut from_router, mut to_router) = router.split();
    let inward = pass_inward(&mut from_client, &mut to_router, name);
    let outward = tokio::io::copy(&mut from_router, &mut to_client);
    tokio::pin!(outward);
    tokio::select! {
        // A worker that has ended its side, or broke a bound, is told nothing more.
        ended = inward => ended,
        ended = &mut outward => ended.map(drop).map_err(End::from),
        _ = cut => {
            let _ = timeout(LINGER, outward).await;
            Ok(())
        }
    }
}

/// Finds dead machines: silent ones by asking, others because they do not answer what is sent.
fn prepare(client: &TcpStream) -> nix::Result<()> {
    setsockopt(client, sockopt::TcpNoDelay, &true)?;
    setsockopt(client, sockopt::KeepAlive, &true)?;
    setsockopt(client, sockopt::TcpKeepIdle, &KEEPALIVE_IDLE)?;
    setsockopt(client, sockopt::TcpKeepInterval, &KEEPALIVE_INTERVAL)?;
    setsockopt(client, sockopt::TcpKeepCount, &KEEPALIVE_PROBES)?;
    setsockopt(client, sockopt::TcpUserTimeout, &(UNANSWERED_TIME.as_millis() as u32))
}

async fn pass_inward(client: &mut ReadHalf<'_>, router: &mut unix::WriteHalf<'_>, name: Name) -> Result<(), End> {
    let mut inspector = Inspector::new(&name);
    let mut read = vec![0; READ_BYTES];
    let mut passed = Vec::with_capacity(READ_BYTES);
    let deadline = Instant::now() + GREETING_TIME;
    loop {
        let reading = client.read(&mut read);
        let length = match inspector.has_spoken() {
            true => reading.await?,
            false => timeout_at(deadline, reading).await.map_err(|_| End::Broken)??,
        };
        if length == 0 {
            return Ok(());
        }
        passed.clear();
        inspector.pass(&read[..length], &mut passed)?;
        router.write_all(&passed).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_number_and_address() {
        for text in ["192.0.2.1:5", "[2001:db8::1]:5"] {
            let socket: SocketAddr = text.parse().unwrap();
            let name = name(0x0102_0304_0506_0708, socket);
            assert_eq!(parse(&name), Some((0x0102_0304_0506_0708, socket.ip())));
            assert_eq!(parse(&name[..NAME_BYTES - 1]), None);
        }
        // As libzmq names connections by itself.
        assert_eq!(parse(&[0, 1, 2, 3, 4]), None);
        assert_eq!(parse(&[0; NAME_BYTES]), None);
        assert_eq!(parse(&[]), None);
    }
}
