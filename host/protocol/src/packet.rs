//! Packets with file descriptors over a `SOCK_SEQPACKET` socket: one [`crate::codec`] value each.

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{ControlMessage, MsgFlags, SockType, getsockopt, sendmsg, sockopt};
use serde::{Serialize, de::DeserializeOwned};

use crate::codec;
use crate::runner_message::{MAX_PACKET_BYTES, MAX_PACKET_FDS};

/// Whether a file descriptor is a packet socket.
pub fn is_packet_socket(fd: &impl AsFd) -> bool {
    getsockopt(fd, sockopt::SockType) == Ok(SockType::SeqPacket)
}

/// Sends one packet.
///
/// # Errors
/// What sendmsg(2) says, `EAGAIN` where the socket does not block; `EMSGSIZE` for a value of more
/// than [`MAX_PACKET_BYTES`].
pub fn send<T: Serialize>(socket: &impl AsFd, message: &T, fds: &[RawFd]) -> nix::Result<()> {
    let bytes = codec::encode(message).map_err(|_| Errno::EBADMSG)?;
    if bytes.len() > MAX_PACKET_BYTES || fds.len() > MAX_PACKET_FDS {
        return Err(Errno::EMSGSIZE);
    }
    let rights = [ControlMessage::ScmRights(fds)];
    let rights = if fds.is_empty() { &rights[..0] } else { &rights[..] };
    let socket = socket.as_fd().as_raw_fd();
    loop {
        // MSG_NOSIGNAL: an end that is gone is an error to handle, not a signal.
        match sendmsg::<()>(socket, &[IoSlice::new(&bytes)], rights, MsgFlags::MSG_NOSIGNAL, None) {
            Err(Errno::EINTR) => {}
            other => return other.map(drop),
        }
    }
}

/// Receives one packet; `None` when the other end is closed.
///
/// # Errors
/// What recvmsg(2) says, `EAGAIN` where the socket does not block; `EBADMSG` for a packet that is
/// no such value, was longer than [`MAX_PACKET_BYTES`] or had more descriptors than
/// [`MAX_PACKET_FDS`] beside it. No descriptor stays open then.
pub fn receive<T: DeserializeOwned>(socket: &impl AsFd) -> nix::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut bytes = [0; MAX_PACKET_BYTES];
    let socket = socket.as_fd().as_raw_fd();
    let received = loop {
        match receive_raw(socket, &mut bytes) {
            Err(Errno::EINTR) => {}
            other => break other?,
        }
    };
    if received.flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0 {
        return Err(Errno::EBADMSG);
    }
    if received.length == 0 {
        return Ok(None);
    }
    let message = codec::decode_untrusted(&bytes[..received.length]).map_err(|_| Errno::EBADMSG)?;
    Ok(Some((message, received.fds)))
}

/// Room for the one control message of a packet, in words, as its header must be aligned to one: cmsg(3).
const CONTROL_WORDS: usize =
    (size_of::<libc::cmsghdr>() + MAX_PACKET_FDS * size_of::<RawFd>()).div_ceil(size_of::<u64>());

/// What recvmsg(2) gave.
struct Received {
    /// Bytes of the packet, as far as they fit.
    length: usize,
    /// `msg_flags`.
    flags: i32,
    /// The descriptors that came with it, as far as they fit.
    fds: Vec<OwnedFd>,
}

/// recvmsg(2). Not nix's, which gives no access to the control messages of a packet that had too many
/// descriptors: those that fit are open by then, and would stay so.
#[expect(unsafe_code, reason = "descriptors come as bare numbers in a buffer of the kernel's layout")]
fn receive_raw(socket: RawFd, bytes: &mut [u8]) -> nix::Result<Received> {
    let mut space = [0u64; CONTROL_WORDS];
    let mut buffer = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: all zeroes are a msghdr without buffers.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut buffer;
    header.msg_iovlen = 1;
    header.msg_control = space.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&space);
    // SAFETY: the header points to buffers that live through the call, with their lengths.
    let length = unsafe { libc::recvmsg(socket, &raw mut header, libc::MSG_CMSG_CLOEXEC) };
    let length = usize::try_from(Errno::result(length)?).unwrap_or_default();
    let mut fds = Vec::new();
    // SAFETY: recvmsg has set the length of the control buffer to what it has written there.
    let mut control = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    while !control.is_null() {
        // SAFETY: not null, so it points to a whole header in the buffer, which is aligned for one.
        let libc::cmsghdr { cmsg_len, cmsg_level, cmsg_type } = unsafe { *control };
        if (cmsg_level, cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            // SAFETY: takes a number and touches no memory.
            let head = unsafe { libc::CMSG_LEN(0) } as usize;
            // SAFETY: the data begins where the header ends, in the same buffer.
            let first = unsafe { libc::CMSG_DATA(control) }.cast::<RawFd>();
            for index in 0..cmsg_len.saturating_sub(head) / size_of::<RawFd>() {
                // SAFETY: the kernel has written whole descriptors up to `cmsg_len`.
                let place = unsafe { first.add(index) };
                // SAFETY: as above.
                fds.push(adopt(unsafe { place.read_unaligned() }));
            }
        }
        // SAFETY: both point into what recvmsg has filled.
        control = unsafe { libc::CMSG_NXTHDR(&raw const header, control) };
    }
    Ok(Received { length, flags: header.msg_flags, fds })
}

#[expect(unsafe_code, reason = "a received file descriptor is a bare number")]
fn adopt(fd: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just made this descriptor for us in recvmsg; nobody else knows of it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{AddressFamily, SockFlag, socketpair};
    use std::os::fd::AsRawFd;

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap()
    }

    #[test]
    fn values_and_descriptors_arrive() {
        let (a, b) = pair();
        let null = std::fs::File::open("/dev/null").unwrap();
        send(&a, &"hello".to_owned(), &[null.as_raw_fd()]).unwrap();
        let (text, fds) = receive::<String>(&b).unwrap().unwrap();
        assert_eq!((text.as_str(), fds.len()), ("hello", 1));
        drop(a);
        assert!(receive::<String>(&b).unwrap().is_none());
    }

    #[test]
    fn no_descriptor_of_a_refused_packet_stays_open() {
        for (count, message) in [(MAX_PACKET_FDS + 1, "text"), (250, "text"), (MAX_PACKET_FDS, "")] {
            let (a, b) = pair();
            let (read, write) = nix::unistd::pipe().unwrap();
            let fds = vec![write.as_raw_fd(); count];
            let rights = [ControlMessage::ScmRights(&fds)];
            // The empty message is no packet of anybody's: a string's length is missing.
            let bytes = if message.is_empty() { vec![0xFF] } else { codec::encode(&message).unwrap() };
            sendmsg::<()>(a.as_raw_fd(), &[IoSlice::new(&bytes)], &rights, MsgFlags::empty(), None).unwrap();
            assert_eq!(receive::<String>(&b).unwrap_err(), Errno::EBADMSG, "{count}");
            drop(write);
            // The end of the file: nobody has the other end of the pipe.
            let flags = nix::fcntl::OFlag::O_NONBLOCK;
            nix::fcntl::fcntl(&read, nix::fcntl::FcntlArg::F_SETFL(flags)).unwrap();
            assert_eq!(nix::unistd::read(&read, &mut [0]), Ok(0), "{count}");
        }
    }

    #[test]
    fn packets_beyond_the_bounds_are_refused() {
        let (a, b) = pair();
        assert_eq!(send(&a, &vec![0u8; MAX_PACKET_BYTES], &[]), Err(Errno::EMSGSIZE));
        let raw = vec![0u8; MAX_PACKET_BYTES + 1];
        nix::sys::socket::send(a.as_raw_fd(), &raw, MsgFlags::empty()).unwrap();
        assert_eq!(receive::<Vec<u8>>(&b).unwrap_err(), Errno::EBADMSG);
        nix::sys::socket::send(a.as_raw_fd(), &[0xFF; 3], MsgFlags::empty()).unwrap();
        assert_eq!(receive::<Vec<u8>>(&b).unwrap_err(), Errno::EBADMSG);
    }
}
