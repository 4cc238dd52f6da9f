//! Events on their way from a socket thread to a task: bounded in number and in bytes. When they are
//! full the thread stops reading its socket, and so the other side stops sending.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::socket;
use super::wake::Waker;

/// An event and the bytes that it stands for.
type Weighed<T> = (T, usize);

/// What a socket thread says, in order.
#[derive(Debug)]
pub struct Events<T> {
    /// Where they come from.
    receiver: mpsc::Receiver<Weighed<T>>,
    /// Shared with the thread.
    gauge: Arc<Gauge>,
}

/// How full the way is.
#[derive(Debug)]
struct Gauge {
    /// Bytes of the events on their way.
    bytes: AtomicUsize,
    /// Whether the thread has stopped reading and is to be woken when there is room.
    stalled: AtomicBool,
    /// Wakes the thread.
    waker: Arc<Waker>,
}

impl<T> Events<T> {
    /// The next event; none once the socket thread has ended and everything was received.
    ///
    /// # Cancel safety
    /// No event is lost when the future is dropped.
    pub async fn recv(&mut self) -> Option<T> {
        let weighed = self.receiver.recv().await;
        weighed.map(|weighed| self.gauge.taken(weighed))
    }

    /// The next event, if one is there.
    pub fn try_recv(&mut self) -> Option<T> {
        let weighed = self.receiver.try_recv().ok();
        weighed.map(|weighed| self.gauge.taken(weighed))
    }
}

impl<T> Drop for Events<T> {
    /// Lets the thread see that nobody listens any more, upon which it ends.
    fn drop(&mut self) {
        self.receiver.close();
        self.gauge.waker.wake();
    }
}

impl Gauge {
    /// Accounts for an event that its receiver has.
    fn taken<T>(&self, (event, bytes): Weighed<T>) -> T {
        self.bytes.fetch_sub(bytes, Ordering::SeqCst);
        // With the one in `EventSender::flush`: of "there is room" and "the thread has stalled" at
        // least one side sees the other's.
        fence(Ordering::SeqCst);
        if self.stalled.load(Ordering::SeqCst) && self.stalled.swap(false, Ordering::SeqCst) {
            self.waker.wake();
        }
        event
    }
}

/// The thread's end.
pub(super) struct EventSender<T> {
    /// Where they go.
    sender: mpsc::Sender<Weighed<T>>,
    /// Shared with the receiver.
    gauge: Arc<Gauge>,
    /// Most bytes on their way, but for a single event.
    max_bytes: usize,
    /// Events for which there is no room. The thread reads nothing while there are some, so they are at
    /// most what one frame makes and one [`Closed`](super::PeerEvent::Closed) for each peer.
    stash: VecDeque<Weighed<T>>,
}

/// Both ends of a way for `count` events of `bytes` bytes together.
pub(super) fn events<T>(count: usize, bytes: usize, waker: Arc<Waker>) -> (EventSender<T>, Events<T>) {
    let (sender, receiver) = mpsc::channel(count);
    let gauge = Arc::new(Gauge { bytes: AtomicUsize::new(0), stalled: AtomicBool::new(false), waker });
    let events = Events { receiver, gauge: gauge.clone() };
    (EventSender { sender, gauge, max_bytes: bytes, stash: VecDeque::new() }, events)
}

impl<T> EventSender<T> {
    /// Sends an event now, or as soon as there is room.
    pub(super) fn push(&mut self, event: T, bytes: usize) {
        self.stash.push_back((event, bytes));
        self.flush();
    }

    /// Sends what waits; gives whether all could be sent.
    pub(super) fn flush(&mut self) -> bool {
        if self.send_stash() {
            return true;
        }
        self.gauge.stalled.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        // Room that came before the store was seen by nobody: look again.
        let clear = self.send_stash();
        if clear {
            self.gauge.stalled.store(false, Ordering::SeqCst);
        }
        clear
    }

    fn send_stash(&mut self) -> bool {
        while let Some((event, bytes)) = self.stash.pop_front() {
            let on_their_way = self.gauge.bytes.load(Ordering::SeqCst);
            if on_their_way > 0 && on_their_way + bytes > self.max_bytes {
                self.stash.push_front((event, bytes));
                return false;
            }
            self.gauge.bytes.fetch_add(bytes, Ordering::SeqCst);
            if let Err(refused) = self.sender.try_send((event, bytes)) {
                self.gauge.bytes.fetch_sub(bytes, Ordering::SeqCst);
                match refused {
                    mpsc::error::TrySendError::Full(weighed) => {
                        self.stash.push_front(weighed);
                        return false;
                    }
                    // Nobody listens; the thread sees it by `is_closed`.
                    mpsc::error::TrySendError::Closed(_) => self.stash.clear(),
                }
            }
        }
        true
    }

    /// At the end: waits for room for what is left, for at most `time` or until nobody listens.
    pub(super) fn finish(mut self, time: Duration) {
        let deadline = Instant::now() + time;
        while !self.flush() {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut items = [zmq::PollItem::from_fd(self.gauge.waker.raw_fd(), zmq::POLLIN)];
            if left.is_zero() || socket::poll(&mut items, Some(left)).is_err() {
                return;
            }
            self.gauge.waker.clear();
        }
    }

    /// Whether there was room for everything so far.
    pub(super) fn is_clear(&self) -> bool {
        self.stash.is_empty()
    }

    /// Whether nobody listens any more.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}
