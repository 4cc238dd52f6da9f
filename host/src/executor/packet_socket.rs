//! A packet socket to init, a zygote or a keeper, on the reactor.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use bulkhead_protocol::packet;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, socketpair};
use tokio::io::unix::AsyncFd;

use super::reactor::watch;

/// How long a runner may leave a packet unread while its socket is full. A zygote is not believed to
/// read at all, and whoever sends holds a slot.
const SEND_TIMEOUT: Duration = Duration::from_secs(2);

/// A packet socket on the reactor.
pub(super) struct PacketSocket {
    fd: AsyncFd<OwnedFd>,
}

impl PacketSocket {
    /// A new one, and its other end.
    pub(super) fn pair() -> nix::Result<(Self, OwnedFd)> {
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok((Self { fd: watch(ours)? }, theirs))
    }

    /// Sends a packet, waiting up to [`SEND_TIMEOUT`] for room in the socket.
    pub(super) async fn send<T: serde::Serialize>(&self, message: &T, fds: &[i32]) -> nix::Result<()> {
        match packet::send(self, message, fds) {
            Err(Errno::EAGAIN) => {
                let sent = tokio::time::timeout(SEND_TIMEOUT, self.send_when_writable(message, fds)).await;
                sent.unwrap_or(Err(Errno::ETIMEDOUT))
            }
            other => other,
        }
    }

    async fn send_when_writable<T: serde::Serialize>(&self, message: &T, fds: &[i32]) -> nix::Result<()> {
        loop {
            let mut ready = self.fd.writable().await.map_err(|_| Errno::EIO)?;
            match packet::send(self, message, fds) {
                Err(Errno::EAGAIN) => ready.clear_ready(),
                other => return other,
            }
        }
    }

    /// Waits until there is a packet, which stays where it is, or the other end is closed.
    pub(super) async fn has_news(&self) {
        // A socket that cannot be watched tells nothing any more.
        while let Ok(mut ready) = self.fd.readable().await {
            if !self.is_silent() {
                return;
            }
            ready.clear_ready();
        }
    }

    /// Whether there is no packet and the other end is open.
    pub(super) fn is_silent(&self) -> bool {
        let look = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        loop {
            match recv(self.fd.as_raw_fd(), &mut [0], look) {
                Err(Errno::EINTR) => {}
                looked => return looked == Err(Errno::EAGAIN),
            }
        }
    }

    /// Receives a packet; `None` when the other end is closed.
    ///
    /// # Cancel safety
    /// No packet is lost when the future is dropped.
    pub(super) async fn receive<T: serde::de::DeserializeOwned>(&self) -> nix::Result<Option<(T, Vec<OwnedFd>)>> {
        loop {
            let mut ready = self.fd.readable().await.map_err(|_| Errno::EIO)?;
            match packet::receive(self) {
                Err(Errno::EAGAIN) => ready.clear_ready(),
                other => return other,
            }
        }
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.get_ref().as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn news_is_seen_and_stays() {
        let (socket, theirs) = PacketSocket::pair().unwrap();
        assert!(socket.is_silent());
        packet::send(&theirs, &1u64, &[]).unwrap();
        socket.has_news().await;
        assert!(!socket.is_silent());
        assert_eq!(socket.receive::<u64>().await.unwrap().map(|(word, _)| word), Some(1));
        assert!(socket.is_silent());
        drop(theirs);
        socket.has_news().await;
        assert!(!socket.is_silent());
    }

    #[tokio::test]
    async fn a_runner_that_does_not_read_is_not_waited_for_without_end() {
        let (socket, theirs) = PacketSocket::pair().unwrap();
        let mut sent = Ok(());
        // More than any socket's buffer holds.
        for _ in 0..100_000 {
            sent = socket.send(&0u64, &[]).await;
            if sent.is_err() {
                break;
            }
        }
        assert_eq!(sent, Err(Errno::ETIMEDOUT));
        let bytes = packet::receive::<u64>(&theirs).unwrap();
        assert!(bytes.is_some());
    }
}
