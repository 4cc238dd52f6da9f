//! The one subscription of a process: ends of tasks, word of something to claim, controls, removed
//! functions. Messages that come while it is broken are lost, so whatever they could have said is read
//! again once it stands: those who wait look at their task, claims are tried, wishes to cancel repeated.
//!
//! A subscription may be dead without a sign, or listen at a node that the others no longer talk to. So
//! each process also sends itself a message now and then, on the other connection, and subscribes anew when
//! it does not hear itself.

use std::sync::Arc;
use std::time::Duration;

use bulkhead_protocol::id::TaskId;
use futures_util::StreamExt as _;
use redis::aio::PubSub;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::record::decode;
use super::shared::Shared;
use crate::store::types::{Control, Error};

/// How often a process sends itself a message.
const ECHO_EVERY: Duration = Duration::from_secs(2);

/// How long it believes in a subscription on which it does not hear itself.
const DEAF_AFTER: Duration = Duration::from_secs(6);

/// First and longest wait before another subscription.
const TRY_AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Longest wait for the answer to a subscription.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Most wishes to cancel that are read again at once.
const MAX_CANCELS: usize = 1000;

/// What messages come on.
struct Channels {
    /// Of tasks that ended: their ids, apart by spaces.
    done: String,
    /// There may be something to claim.
    wake: String,
    /// Controls.
    control: String,
    /// Of a function that was removed: its id.
    removed: String,
    /// This process to itself.
    echo: String,
}

/// Listens; does not end.
pub(super) async fn listen(shared: Arc<Shared>) {
    let channels = Channels {
        done: shared.key("done"),
        wake: shared.key("wake"),
        control: shared.key("control"),
        removed: shared.key("removed"),
        echo: shared.key(&format!("echo:{}", uuid::Uuid::new_v4())),
    };
    let (mut wait, longest) = TRY_AGAIN;
    for turn in 0.. {
        let since = Instant::now();
        let reason = match shared.target.listen(turn).await {
            Ok(subscription) => channels.hear(&shared, subscription).await,
            Err(error) => error.to_string(),
        };
        shared.functions.distrust();
        tracing::debug!(reason, "the subscription to Redis is broken; making another");
        // What broke it may have broken the others, which have nothing to find that out by.
        tokio::join!(shared.link.check(), shared.bulk.check());
        if since.elapsed() > longest {
            wait = TRY_AGAIN.0;
        }
        tokio::time::sleep(wait).await;
        wait = (2 * wait).min(longest);
    }
}

impl Channels {
    /// Hears what comes until the subscription breaks; says why.
    async fn hear(&self, shared: &Arc<Shared>, subscription: PubSub) -> String {
        let (mut sink, mut messages) = subscription.split();
        let all = [&self.done, &self.wake, &self.control, &self.removed, &self.echo];
        match tokio::time::timeout(SUBSCRIBE_TIMEOUT, sink.subscribe(all.as_slice())).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error.to_string(),
            Err(_) => return "no answer to the subscription".to_owned(),
        }
        shared.functions.trust();
        shared.completion.wake_all();
        shared.ready.notify_waiters();
        // Beside the messages, which must not wait; all of it ends with the subscription.
        let mut aside = JoinSet::new();
        aside.spawn(repeat_cancels(Arc::clone(shared)));
        let mut heard = Instant::now();
        let mut echo = tokio::time::interval(ECHO_EVERY);
        echo.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = messages.next() => match message {
                    Some(message) if message.get_channel_name() == self.echo => heard = Instant::now(),
                    Some(message) => self.take(shared, message.get_channel_name(), message.get_payload_bytes()),
                    None => return "it was closed".to_owned(),
                },
                _ = echo.tick() => {
                    if heard.elapsed() > DEAF_AFTER {
                        return "it is silent".to_owned();
                    }
                    aside.spawn(send_echo(Arc::clone(shared), self.echo.clone()));
                }
                Some(_) = aside.join_next() => {}
            }
        }
    }

    fn take(&self, shared: &Shared, channel: &str, payload: &[u8]) {
        let id = || std::str::from_utf8(payload).ok();
        if channel == self.wake {
            shared.ready.notify_waiters();
        } else if channel == self.done {
            let ids = std::str::from_utf8(payload).unwrap_or_default().split(' ');
            ids.filter_map(|id| id.parse::<TaskId>().ok()).for_each(|id| shared.completion.ended(id));
        } else if channel == self.control {
            match decode::<Control>(payload) {
                // Nobody may listen.
                Ok(control) => drop(shared.controls.send(control)),
                Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "a control cannot be read"),
            }
        } else if channel == self.removed
            && let Some(id) = id().and_then(|id| id.parse().ok())
        {
            shared.functions.forget(id);
        }
    }
}

/// Sends this process a message. A failure shows in its absence.
async fn send_echo(shared: Arc<Shared>, channel: String) {
    let _ = shared.link.ask::<i64>(redis::cmd("PUBLISH").arg(channel).arg("")).await;
}

/// Tells the dispatcher of this process what it may have missed. A failure shows in the subscription.
async fn repeat_cancels(shared: Arc<Shared>) {
    let mut command = redis::cmd("SRANDMEMBER");
    command.arg(shared.key("cancels")).arg(MAX_CANCELS);
    let ids: Result<Vec<String>, Error> = shared.link.ask(&command).await;
    for id in ids.iter().flatten().filter_map(|id| id.parse().ok()) {
        let _ = shared.controls.send(Control::Cancel(id));
    }
}
