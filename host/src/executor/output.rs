//! What a call prints: read from its pipes as it comes, kept up to a bound, cut in the middle with
//! a mark, so that both how it began and how it ended can be read.

use std::io;
use std::os::fd::OwnedFd;

use bulkhead_protocol::outcome::Logs;
use tokio::io::unix::AsyncFd;

use super::reactor::watch;

/// One read at most; a pipe's usual capacity, pipe(7).
const READ_BYTES: usize = 64 * 1024;
/// The first read of a pipe in which there mostly is nothing: room is zeroed before it is read to.
const LAST_WORDS_BYTES: usize = 1024;
/// Reads that empty any pipe: an ordinary user's holds up to 1 MiB, pipe(7). Whoever still writes
/// after that, as a warm process may, does not keep the host reading.
const DRAIN_READS: usize = 32;

/// The read end of a pipe.
pub(super) struct OutputPipe {
    fd: AsyncFd<OwnedFd>,
}

/// Collects both streams of one call.
pub(super) struct OutputCollector {
    stdout: HeadAndTail,
    stderr: HeadAndTail,
    /// Bytes printed so far on both.
    total: u64,
    /// Bytes at which the call is killed.
    limit: u64,
}

impl OutputPipe {
    /// Makes a pipe; the second part is the end to write to.
    pub(super) fn create() -> nix::Result<(Self, OwnedFd)> {
        use nix::fcntl::{FcntlArg, OFlag, fcntl};
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        // Only the read end: a function expects its stdout to block.
        fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok((Self { fd: watch(read)? }, write))
    }

    /// Waits for bytes and reads some.
    ///
    /// # Cancel safety
    /// Nothing is read unless it returns.
    async fn read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        loop {
            let mut ready = self.fd.readable().await?;
            if let Ok(result) = ready.try_io(|fd| read_once(fd.get_ref(), buffer, READ_BYTES)) {
                return result;
            }
        }
    }

    /// Reads what is there without waiting.
    fn drain(&self, mut keep: impl FnMut(&[u8])) {
        let (mut buffer, mut bytes) = (Vec::new(), LAST_WORDS_BYTES);
        for _ in 0..DRAIN_READS {
            let Ok(1..) = read_once(self.fd.get_ref(), &mut buffer, bytes) else { return };
            keep(&buffer);
            bytes = READ_BYTES;
        }
    }
}

fn read_once(pipe: &OwnedFd, buffer: &mut Vec<u8>, most: usize) -> io::Result<usize> {
    buffer.resize(most, 0);
    let count = nix::unistd::read(pipe, buffer)?;
    buffer.truncate(count);
    Ok(count)
}

impl OutputCollector {
    /// Keeps up to `kept` bytes, half for each stream; tells when more than `limit` have come.
    pub(super) fn new(kept: u64, limit: u64) -> Self {
        let each = usize::try_from(kept / 2).unwrap_or(usize::MAX);
        Self { stdout: HeadAndTail::new(each), stderr: HeadAndTail::new(each), total: 0, limit }
    }

    /// Waits for bytes on either pipe and takes them; true once the limit is passed.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(super) async fn read(&mut self, stdout: &OutputPipe, stderr: &OutputPipe) -> bool {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let result = tokio::select! {
            result = stdout.read(&mut out) => { self.stdout.push(&out); result }
            result = stderr.read(&mut err) => { self.stderr.push(&err); result }
        };
        match result {
            // The zygote holds the write ends, so an end of file means that the runner is gone;
            // whoever waits for the child will hear of it.
            Ok(0) | Err(_) => std::future::pending().await,
            Ok(count) => self.total += count as u64,
        }
        self.is_flooded()
    }

    /// Whether more than the limit has come.
    pub(super) fn is_flooded(&self) -> bool {
        self.total > self.limit
    }

    /// Takes what is left in the pipes once the call is over.
    pub(super) fn finish(&mut self, stdout: &OutputPipe, stderr: &OutputPipe) {
        let Self { stdout: out, stderr: err, total, .. } = self;
        for (pipe, stream) in [(stdout, out), (stderr, err)] {
            pipe.drain(|bytes| {
                stream.push(bytes);
                *total += bytes.len() as u64;
            });
        }
    }

    pub(super) fn into_logs(self) -> Logs {
        let truncated = self.stdout.cut > 0 || self.stderr.cut > 0;
        Logs { stdout: self.stdout.into_bytes(), stderr: self.stderr.into_bytes(), truncated }
    }
}

/// The first and the last bytes of a stream.
struct HeadAndTail {
    head: Vec<u8>,
    tail: std::collections::VecDeque<u8>,
    /// Most bytes of either.
    half: usize,
    /// Bytes lost in between.
    cut: u64,
}

impl HeadAndTail {
    fn new(kept: usize) -> Self {
        Self { head: Vec::new(), tail: std::collections::VecDeque::new(), half: kept / 2, cut: 0 }
    }

    fn push(&mut self, bytes: &[u8]) {
        let (first, rest) = bytes.split_at(bytes.len().min(self.half - self.head.len()));
        self.head.extend_from_slice(first);
        self.tail.extend(rest);
        let excess = self.tail.len().saturating_sub(self.half);
        self.tail.drain(..excess);
        self.cut += excess as u64;
    }

    fn into_bytes(self) -> Vec<u8> {
        let mut bytes = self.head;
        if self.cut > 0 {
            bytes.extend_from_slice(format!("\n[… {} bytes cut …]\n", self.cut).as_bytes());
        }
        bytes.extend(self.tail);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(limit: usize, chunks: &[&str]) -> String {
        let mut stream = HeadAndTail::new(limit);
        chunks.iter().for_each(|chunk| stream.push(chunk.as_bytes()));
        String::from_utf8(stream.into_bytes()).unwrap()
    }

    #[tokio::test]
    async fn a_pipe_that_is_never_empty_is_drained_for_a_while_only() {
        let (pipe, write) = OutputPipe::create().unwrap();
        let mut drained = 0;
        nix::unistd::write(&write, b"x").unwrap();
        pipe.drain(|bytes| {
            drained += bytes.len();
            // As a process that goes on printing.
            nix::unistd::write(&write, b"x").unwrap();
        });
        assert_eq!(drained, DRAIN_READS);
    }

    #[test]
    fn up_to_the_bound_all_is_kept_and_beyond_it_the_middle_goes() {
        assert_eq!(kept(8, &["1234567"]), "1234567");
        assert_eq!(kept(8, &["1234", "5678"]), "12345678");
        assert_eq!(kept(8, &["123456789"]), "1234\n[… 1 bytes cut …]\n6789");
        assert_eq!(kept(8, &["12", "34", "5", "6789", "abc"]), "1234\n[… 4 bytes cut …]\n9abc");
    }
}
