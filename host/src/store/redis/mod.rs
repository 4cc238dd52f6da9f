//! The Redis backend: Redis from 6.2 on or Valkey, one server, the master of a set that sentinels watch,
//! or a cluster. Every operation is a script or a read; the processes that share a namespace share one
//! store.
//!
//! ```text
//! front ─▶ shared: tasks, attempts (in groups), listing, functions, packages, workers,
//!                  desk (claims, lease) ─────────────────────────────────────────▶ link ─▶ target
//!                    ▲ ends, something to claim, controls                                │ scripts/*.lua
//!                  news ◀───────────────── publish/subscribe ◀───────────────────────────┘
//! ```
//!
//! # Keys
//!
//! All begin with the hash tag `{namespace}:` but those of packages, which have one each: a cluster gives
//! failover, not a share of the work to each node. Every key has a time to live or an owner that deletes it:
//!
//! | key | type | what | goes |
//! | --- | --- | --- | --- |
//! | `task:ID` | hash | the task, its input, state, result and logs | `expire`, or by itself an hour after its time |
//! | `tasks`, `dead` | sorted set | ids of all tasks, of dead letters, in order | member by member by `expire` |
//! | `ended`, `expiring` | sorted set | ended tasks by their end, or by the end of a time to live of their own | `expire` |
//! | `tombstones` | sorted set | expired tasks by when that was | `expire`, 24 h later |
//! | `key:SHA256` | hash | the task of an idempotency key | 24 h after its submission |
//! | `keys` | sorted set | idempotency keys by submission | `expire` |
//! | `queued` | string | tasks that nobody has | is one number |
//! | `lane:PRIORITY:FUNCTION` | stream | open tasks; its consumer group holds the claims | with its last entry |
//! | `turns:PRIORITY`, `turn` | sorted set, string | lanes in the order of their turns; the newest turn | lane by lane when found empty |
//! | `freed` | set | lanes with claims that were given back | lane by lane when they are claimed |
//! | `delayed` | sorted set | tasks by the time they wait for | task by task when it comes |
//! | `leases` | sorted set | dispatchers by the end of their lease | by another dispatcher after that |
//! | `dispatcher:ID`, `lanes:ID` | hash, set | its newest claim; the lanes it claimed from | by itself, or who takes over |
//! | `dying` | set | dispatchers whose claims are being given back | when they are |
//! | `pulse` | string | when a dispatcher was last here | after a minute |
//! | `cancels` | set | tasks that run and are to end | with their end |
//! | `function:ID`, `name:NAME`, `names` | hash, hash, sorted set | functions, versions and aliases, names | by removal; of a name, its highest version stays |
//! | `packages`, `uses`, `expected`, `expected_since`, `generation`, `garbage` | hash, hash, hash, sorted set, string, set | which packages there are, for how many functions and registrations; bytes to delete | with the package |
//! | `{namespace:package:SHA256}:N` | string | the bytes of a package | with its last function, or an hour after an upload without registration |
//! | `workers:ID`, `workers` | string, sorted set | the workers of a dispatcher | after 10 s |
//!
//! # Claims
//!
//! A claim is an entry of the consumer group's pending list whose consumer is the dispatcher. Claims of a
//! dead one are not taken over with `XAUTOCLAIM`: that goes by how long an entry was idle, and the claim of
//! an attempt that runs for an hour is idle as well. Dispatchers hold leases instead; when one ran out, a
//! script moves its claims (`XPENDING` by consumer, `XCLAIM`, a bounded number at a time) to a consumer
//! that stands for nobody, from which the next claims take first. A clean end does the same at once.
//! Leases go by the clock of the server, after a failover by that of the new one: the clocks of its nodes
//! must not differ by seconds. When no dispatcher reached the server for half a lease, the server itself
//! was away: all leases then get half their length more, for their owners to come back.
//!
//! Deliberately absent: polling, locks, transactions across slots, and commands that are sent again
//! unasked. (A cluster's connection may follow a redirection; every script bears a repetition.)

mod address;
mod attempts;
mod check;
mod desk;
mod front;
mod functions;
mod link;
mod listing;
mod news;
mod packages;
mod record;
mod scripts;
mod settings;
mod shared;
mod target;
mod tasks;
#[cfg(test)]
mod tests;
mod workers;

pub(super) use front::Redis;
pub use settings::RedisSettings;
