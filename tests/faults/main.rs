//! What happens when parts of a cluster fail: real processes, real signals, a Redis that keeps what it
//! acknowledged. Every test checks that each acknowledged task ends exactly once and with the right
//! result, and that nothing hangs.
//!
//! How long a recovery took is printed, not asserted: `just measure-recovery` shows the figures. The
//! deadlines here only tell a recovery from none.

#[path = "../it/built.rs"]
mod built;
mod crashes;
mod dispatcher;
mod gateway;
mod hostile;
mod join_key;
mod network;
mod redis;
mod redis_cluster;
mod setup;
mod storm;
mod worker;
