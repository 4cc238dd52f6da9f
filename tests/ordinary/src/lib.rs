//! What functions are made of: widely used crates, each doing in a function what it is used for. Each returns
//! something that only comes of having worked.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::sync::{Barrier, Condvar, Mutex, PoisonError, RwLock, mpsc};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use bulkhead::Error;
use rayon::prelude::*;

/// Sums squares on a pool of threads, in the crate's global pool and in one of its own.
#[bulkhead::function]
pub fn uses_rayon(most: u64) -> Result<[u64; 2], Error> {
    let squares = || (1..=most).into_par_iter().map(|number| number * number).sum();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build()?;
    let mut numbers: Vec<u64> = (0..most).rev().collect();
    numbers.par_sort_unstable();
    Ok([squares(), pool.install(squares)])
}

/// Has threads meet, wait for each other and hand things over.
#[bulkhead::function]
pub fn uses_std_threads(threads: usize) -> Result<usize, Error> {
    let (send, receive) = mpsc::sync_channel(1);
    let barrier = Barrier::new(threads);
    let (open, opened) = (Mutex::new(false), Condvar::new());
    let seen = RwLock::new(0);
    let sum = thread::scope(|scope| {
        for number in 1..=threads {
            let (send, barrier, open, opened, seen) = (send.clone(), &barrier, &open, &opened, &seen);
            thread::Builder::new().name(format!("worker {number}")).spawn_scoped(scope, move || {
                barrier.wait();
                let mut is_open = open.lock().unwrap_or_else(PoisonError::into_inner);
                while !*is_open {
                    let waited = opened.wait_timeout(is_open, Duration::from_secs(10));
                    is_open = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                drop(is_open);
                *seen.write().unwrap_or_else(PoisonError::into_inner) += 1;
                thread::yield_now();
                let _ = send.send(number);
            })?;
        }
        drop(send);
        *open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        opened.notify_all();
        Ok::<usize, io::Error>(receive.iter().sum())
    })?;
    thread::available_parallelism()?;
    let seen = *seen.read().unwrap_or_else(PoisonError::into_inner);
    Ok(seen + sum)
}

/// Finds the words of a text with a capital.
#[bulkhead::function]
pub fn uses_regex(text: String) -> Result<Vec<String>, Error> {
    let capitals = regex::Regex::new(r"\b\p{Lu}\w*")?;
    Ok(capitals.find_iter(&text).map(|found| found.as_str().to_owned()).collect())
}

/// Draws a picture, writes it as PNG and as JPEG, reads both, and scales one down.
#[bulkhead::function]
pub fn uses_image(side: u32) -> Result<Vec<(u32, u32)>, Error> {
    let picture = image::RgbImage::from_fn(side, side, |x, y| image::Rgb([x as u8, y as u8, 128]));
    let mut sizes = Vec::new();
    for name in ["picture.png", "picture.jpeg"] {
        let file = env::temp_dir().join(name);
        picture.save(&file)?;
        let read = image::open(&file)?;
        sizes.push((read.width(), read.height()));
    }
    let small = image::imageops::resize(&picture, side / 2, side / 2, image::imageops::FilterType::Lanczos3);
    sizes.push(small.dimensions());
    Ok(sizes)
}

/// Reads a document, turns it around and writes it.
#[bulkhead::function]
pub fn uses_serde_json(document: String) -> Result<String, Error> {
    let read: BTreeMap<String, serde_json::Value> = serde_json::from_str(&document)?;
    let turned: BTreeMap<String, String> = read.into_iter().map(|(name, value)| (value.to_string(), name)).collect();
    Ok(serde_json::to_string(&turned)?)
}

/// Packs and unpacks a text, whole and in a stream through a file.
#[bulkhead::function]
pub fn uses_zstd(text: String) -> Result<bool, Error> {
    let text = text.repeat(10_000);
    let packed = zstd::encode_all(text.as_bytes(), 19)?;
    let file = env::temp_dir().join("packed.zst");
    let mut encoder = zstd::Encoder::new(fs::File::create(&file)?, 3)?;
    encoder.write_all(text.as_bytes())?;
    encoder.finish()?.sync_all()?;
    let mut unpacked = String::new();
    zstd::Decoder::new(fs::File::open(&file)?)?.read_to_string(&mut unpacked)?;
    Ok(unpacked == text && zstd::decode_all(&packed[..])? == text.as_bytes() && packed.len() < 1000)
}

/// Keeps a database in a file, with a log beside it, and asks it in SQL; then in memory.
#[bulkhead::function]
pub fn uses_rusqlite(rows: u32) -> Result<(u32, String, u32), Error> {
    let file = env::temp_dir().join("data.sqlite");
    let mut database = rusqlite::Connection::open(&file)?;
    let mode: String = database.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    database.execute_batch("CREATE TABLE numbers (number INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT")?;
    let transaction = database.transaction()?;
    for number in 0..rows {
        transaction.execute("INSERT INTO numbers VALUES (?1, ?2)", (number, format!("number {number}")))?;
    }
    transaction.commit()?;
    // A second connection, as another thread would have it, with locks between the two.
    let other = rusqlite::Connection::open(&file)?;
    let count = other.query_row("SELECT count(*) FROM numbers WHERE text LIKE '%0'", [], |row| row.get(0))?;
    drop(other);
    database.execute_batch("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE; VACUUM")?;
    let memory = rusqlite::Connection::open_in_memory()?;
    let sum = memory.query_row("SELECT sum(value) FROM json_each('[1, 2, 3]')", [], |row| row.get(0))?;
    Ok((count, mode, sum))
}

/// Tells the time by clock and calendar, in UTC and in the zone of the place.
#[bulkhead::function]
pub fn uses_chrono() -> Result<(i64, String), Error> {
    let (here, utc) = (chrono::Local::now(), chrono::Utc::now());
    let leap: chrono::NaiveDate = "2024-02-28".parse()?;
    let next = leap.succ_opt().ok_or_else(|| Error::new("there is no tomorrow"))?;
    Ok((utc.signed_duration_since(here).num_seconds(), next.to_string()))
}

/// The same with the other crate.
#[bulkhead::function]
pub fn uses_time() -> Result<(bool, String), Error> {
    let now = time::OffsetDateTime::now_utc();
    let later = now + time::Duration::days(1);
    let begun = Instant::now();
    thread::sleep(Duration::from_millis(1));
    let passed = begun.elapsed() >= Duration::from_millis(1);
    let leap = time::Date::from_calendar_date(2024, time::Month::February, 28)?;
    let next = leap.next_day().ok_or_else(|| Error::new("there is no tomorrow"))?;
    Ok((passed && later > now, next.to_string()))
}

/// Runs tasks, timers, channels, files and blocking work on a runtime of one thread.
#[bulkhead::function]
pub fn uses_tokio(tasks: u64) -> Result<(u64, String, bool), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (send, mut receive) = tokio::sync::mpsc::channel(4);
        for number in 1..=tasks {
            let send = send.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(number)).await;
                let _ = send.send(number).await;
            });
        }
        drop(send);
        let mut sum = 0;
        while let Some(number) = receive.recv().await {
            sum += number;
        }
        let file = env::temp_dir().join("of tokio");
        tokio::fs::write(&file, "written").await?;
        let read = tokio::fs::read_to_string(&file).await?;
        let blocking = tokio::task::spawn_blocking(|| thread::current().id()).await?;
        let late = tokio::time::timeout(Duration::from_millis(5), std::future::pending::<()>()).await;
        Ok((sum, read, late.is_err() && blocking != thread::current().id()))
    })
}

/// Makes a file that has no name and a folder that vanishes.
#[bulkhead::function]
pub fn uses_tempfile() -> Result<(String, bool), Error> {
    let mut file = tempfile::tempfile()?;
    write!(file, "without a name")?;
    io::Seek::rewind(&mut file)?;
    let mut read = String::new();
    file.read_to_string(&mut read)?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().to_owned();
    tempfile::NamedTempFile::new_in(&path)?.persist(path.join("named")).map_err(|error| error.error)?;
    folder.close()?;
    Ok((read, path.exists()))
}
