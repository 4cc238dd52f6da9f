//! The link between a dispatcher and its workers: a ZMQ ROUTER on one side, a DEALER on the other.
//!
//! [`Router::bind`] and [`Dealer::connect`] give a handle to send with and [`Events`] to receive from.
//! Behind each stands one thread that owns the socket; no other thread touches it. What goes out
//! waits in an `outbox`, travels in batches cut into `frame`s, sealed by a `session` that a
//! greeting has begun, and is put together and decoded on the other side.
//!
//! On a sealed link a `gate` stands between the network and the ROUTER: it lets in what libzmq's own bounds
//! can hold, and ends connections.
//!
//! One TCP connection is one peer and one session: nothing here connects anew by itself, so no message
//! is ever said twice or lost in the middle. Whoever holds the handle connects again and says again
//! what was not acknowledged. Heartbeats are theirs as well.

mod bounds;
mod close;
mod dealer;
mod endpoint;
mod events;
mod frame;
mod gate;
mod key;
mod outbox;
mod refusals;
mod router;
mod session;
mod socket;
#[cfg(test)]
mod tests;
mod wake;

pub use bounds::RouterBounds;
pub use close::{CloseReason, SendError, Violation};
pub use dealer::{ConnectError, Dealer, DealerEvent};
pub use endpoint::{Endpoint, InvalidEndpoint};
pub use events::Events;
pub use key::{InvalidJoinKey, JoinKey};
pub use router::{Backlog, BindError, PeerEvent, PeerId, Router};
