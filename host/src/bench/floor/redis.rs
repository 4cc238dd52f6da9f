//! The floor under a shared store: Redis by itself, on a connection of its own. One command at a time, and
//! the commands of whole task lives in batches.

use std::time::{Duration, Instant};

use redis::{Connection, RedisResult, cmd, pipe};

use super::median_us;

/// Tasks of a batch: as many as callers that wait together.
const BATCH: u64 = 64;
/// Bytes that are kept of a task.
const TASK_BYTES: usize = 200;
/// How long Redis may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Seconds that a task is kept.
const KEPT_S: u64 = 60;

/// Opens a connection.
pub(crate) fn open(url: &str) -> RedisResult<Connection> {
    let connection = redis::Client::open(url)?.get_connection_with_timeout(ANSWER_WITHIN)?;
    connection.set_read_timeout(Some(ANSWER_WITHIN))?;
    Ok(connection)
}

/// Writes one key at a time for a while; gives the median time in microseconds.
pub(crate) fn round_trip_us(connection: &mut Connection, during: Duration) -> RedisResult<f64> {
    let value = vec![b'x'; TASK_BYTES];
    let mut times = Vec::new();
    let began = Instant::now();
    while began.elapsed() < during {
        let from = Instant::now();
        cmd("SET").arg("bench").arg(&value).exec(connection)?;
        times.push(from.elapsed());
    }
    Ok(median_us(times))
}

/// Lets tasks live for a while, in batches: submitted (hash and list), taken, started, ended. Gives the tasks
/// per second.
pub(crate) fn tasks_per_second(connection: &mut Connection, during: Duration) -> RedisResult<f64> {
    let value = vec![b'x'; TASK_BYTES];
    let mut tasks = 0;
    let began = Instant::now();
    while began.elapsed() < during {
        let keys: Vec<String> = (tasks..tasks + BATCH).map(|task| format!("bench:{task}")).collect();
        let mut submit = pipe();
        for key in &keys {
            submit.cmd("HSET").arg(key).arg("task").arg(&value).ignore().cmd("LPUSH").arg("queue").arg(key).ignore();
        }
        submit.exec(connection)?;
        let taken: Vec<String> = cmd("RPOP").arg("queue").arg(BATCH).query(connection)?;
        let (mut start, mut end) = (pipe(), pipe());
        for key in &taken {
            start.cmd("HSET").arg(key).arg("status").arg("RUNNING").ignore();
            end.cmd("HSET").arg(key).arg("status").arg("COMPLETED").arg("result").arg("null").ignore();
            end.cmd("EXPIRE").arg(key).arg(KEPT_S).ignore();
        }
        start.exec(connection)?;
        end.exec(connection)?;
        tasks += BATCH;
    }
    Ok(tasks as f64 / began.elapsed().as_secs_f64())
}
