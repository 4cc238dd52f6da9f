//! A connection that comes back. Commands are sent on the connection of the moment, with a deadline
//! each; when it turns out to be broken, commands fail at once until a task in the background has made a
//! new one. Nothing is sent again by itself: whoever asked decides.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::sync::{Notify, Semaphore};

use super::scripts::Call;
use super::target::{Connection, Target};
use crate::store::types::Error;

/// How long a command may take that carries little.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a command may take whose answer may be large.
const BULK_TIMEOUT: Duration = Duration::from_secs(60);

/// What a slow network carries at least, in bytes for each millisecond: large commands may take longer.
const SLOWEST_BYTES_PER_MS: u64 = 10_000;

/// First and longest wait between two tries to connect.
const TRY_AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// A connection that comes back.
pub(super) struct Link {
    /// Where to.
    target: Arc<Target>,
    /// What every script's first key is.
    prefix: String,
    /// The connection of the moment.
    state: Mutex<State>,
    /// Tells the background task that the connection is broken.
    broken: Notify,
    /// Bounds the commands that wait for an answer; more wait for a place.
    in_flight: Semaphore,
    /// How long a command may take that carries little.
    timeout: Duration,
}

/// The connection of the moment.
struct State {
    /// None while it is broken.
    connection: Option<Connection>,
    /// Counts the connections, so that a late failure of an old one does not break a new one.
    generation: u64,
    /// Why there is none.
    reason: String,
}

impl Link {
    /// Connects. `in_flight`: most commands that wait for an answer at one time; `is_bulk`: answers may be
    /// large.
    pub(super) async fn connect(
        target: Arc<Target>,
        prefix: String,
        in_flight: usize,
        is_bulk: bool,
    ) -> Result<Self, Error> {
        let connection = target.connect().await.map_err(|error| unavailable(&error))?;
        let state = State { connection: Some(connection), generation: 0, reason: String::new() };
        Ok(Self {
            target,
            prefix,
            state: Mutex::new(state),
            broken: Notify::new(),
            in_flight: Semaphore::new(in_flight),
            timeout: if is_bulk { BULK_TIMEOUT } else { ANSWER_TIMEOUT },
        })
    }

    /// Makes a new connection whenever the last one broke; does not end.
    pub(super) async fn keep_up(&self) {
        loop {
            self.broken.notified().await;
            let (mut wait, longest) = TRY_AGAIN;
            while self.state().connection.is_none() {
                match self.target.connect().await {
                    Ok(connection) => {
                        let mut state = self.state();
                        state.connection = Some(connection);
                        state.generation += 1;
                        tracing::info!("connected to Redis again");
                    }
                    Err(error) => {
                        self.state().reason = error.to_string();
                        tokio::time::sleep(wait).await;
                        wait = (2 * wait).min(longest);
                    }
                }
            }
        }
    }

    /// Sends a command.
    ///
    /// # Errors
    /// [`Error::Unavailable`], at the latest when its time is over.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Error> {
        let size =
            command.args_iter().map(|argument| if let redis::Arg::Simple(bytes) = argument { bytes.len() } else { 0 });
        let value = self.within(size.sum(), async |mut connection| connection.ask(command).await).await?;
        redis::from_redis_value(value).map_err(|error| malformed(&error))
    }

    /// Sends commands for keys of the namespace at once.
    ///
    /// # Errors
    /// As [`Link::ask`].
    pub(super) async fn ask_all<T: FromRedisValue>(&self, commands: &redis::Pipeline) -> Result<Vec<T>, Error> {
        let values = self.within(0, async |mut connection| connection.ask_all(commands).await).await?;
        values.into_iter().map(redis::from_redis_value).collect::<Result<_, _>>().map_err(|error| malformed(&error))
    }

    /// Sends a command that concerns a server rather than a key to the one that has the namespace.
    ///
    /// # Errors
    /// As [`Link::ask`].
    pub(super) async fn ask_owner<T: FromRedisValue>(&self, command: Cmd) -> Result<T, Error> {
        let asked = async |mut connection: Connection| connection.ask_owner(command.clone(), &self.prefix).await;
        let value = self.within(0, asked).await?;
        redis::from_redis_value(value).map_err(|error| malformed(&error))
    }

    /// Runs a script.
    ///
    /// # Errors
    /// As [`Link::ask`].
    pub(super) async fn run<T: FromRedisValue>(&self, call: Call<'_>) -> Result<T, Error> {
        let run = async |mut connection: Connection| match connection.ask(&call.by_digest(&self.prefix)).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                connection.ask(&call.by_source(&self.prefix)).await
            }
            answer => answer,
        };
        let value = self.within(call.size(), run).await?;
        redis::from_redis_value(value).map_err(|error| malformed(&error))
    }

    /// Finds out whether the connection is broken, now that another one was.
    pub(super) async fn check(&self) {
        // What it finds is noted; there is no one to tell.
        let _ = self.ask::<Value>(&redis::cmd("ECHO").arg("").to_owned()).await;
    }

    async fn within<T>(&self, size: usize, work: impl AsyncFnOnce(Connection) -> RedisResult<T>) -> Result<T, Error> {
        let (connection, generation) = self.current()?;
        let timeout = self.timeout + Duration::from_millis(size as u64 / SLOWEST_BYTES_PER_MS);
        let answer = tokio::time::timeout(timeout, async {
            // Never closed.
            let _place = self.in_flight.acquire().await;
            work(connection).await
        });
        let error = match answer.await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) if !is_broken(&error) => return Err(unavailable(&error)),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {timeout:?}"),
        };
        self.give_up(generation, &error);
        Err(Error::Unavailable { reason: error })
    }

    fn current(&self) -> Result<(Connection, u64), Error> {
        let state = self.state();
        match &state.connection {
            Some(connection) => Ok((connection.clone(), state.generation)),
            None => Err(Error::Unavailable { reason: state.reason.clone() }),
        }
    }

    fn give_up(&self, generation: u64, reason: &str) {
        let mut state = self.state();
        if state.generation == generation && state.connection.is_some() {
            tracing::warn!(reason, "the connection to Redis is broken; making another");
            state.connection = None;
            state.reason = reason.to_owned();
            self.broken.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a failure is one of the connection, so that the next command on it would fail, too. A server
/// that has become a replica is such a failure: the sentinels know the new master.
fn is_broken(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_unrecoverable_error()
        || matches!(
            error.kind(),
            ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown)
                | ErrorKind::ClusterConnectionNotFound
                | ErrorKind::AuthenticationFailed
        )
}

fn unavailable(error: &RedisError) -> Error {
    Error::Unavailable { reason: error.to_string() }
}

fn malformed(error: &impl std::fmt::Display) -> Error {
    Error::Unavailable { reason: format!("Redis answered what it should not: {error}") }
}
