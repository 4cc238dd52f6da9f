//! Packages over a real link.

use bulkhead_protocol::id::PackageId;
use bulkhead_protocol::package::id_of;
use bulkhead_protocol::worker_message::{CHUNK_BYTES, ToDispatcher, ToWorker, WorkerMode};
use bytes::Bytes;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::script::{Script, config, instant, soon};
use crate::executor::FetchPackage;
use crate::worker::Worker;
use crate::worker::handle::{join, over_session};
use crate::worker::package_cache::PackageCache;
use crate::worker::packages_on_disk::PackagesOnDisk;

/// A worker that has joined, and where its executor would get packages.
async fn fetching(folder: &TempDir) -> (Script, Worker, FetchPackage) {
    let mut script = Script::bind();
    let (want, wanted) = mpsc::channel(4);
    let disk = PackagesOnDisk::open(folder.path().to_owned(), folder.path().to_owned(), 1 << 30);
    let fetch = PackageCache::new(disk, over_session(want)).into_fetch();
    let config = config(script.endpoint(), WorkerMode::Push, 1);
    let starting = tokio::spawn(join(config, instant(), wanted, None));
    script.welcome().await;
    let worker = soon(starting).await.unwrap().unwrap();
    (script, worker, fetch)
}

/// A package of 40 chunks and a bit.
fn package() -> Bytes {
    (0..40 * CHUNK_BYTES + 77).map(|index| (index % 253) as u8).collect()
}

/// The answer to a fetch.
fn chunks(package: &Bytes, fetch: &ToDispatcher) -> Vec<ToWorker> {
    let ToDispatcher::Fetch { package: id, offset, chunks } = fetch else { panic!("{fetch:?}") };
    let parts = package.chunks(CHUNK_BYTES as usize).enumerate();
    let parts = parts.skip((offset / CHUNK_BYTES) as usize).take(*chunks as usize);
    let chunk = |(index, part): (usize, &[u8])| ToWorker::Chunk {
        package: *id,
        offset: index as u64 * CHUNK_BYTES,
        total: package.len() as u64,
        bytes: part.to_vec(),
    };
    parts.map(chunk).collect()
}

/// Answers fetches of a package until it is there, counting the chunks that were sent.
async fn serve(script: &mut Script, package: &Bytes, fetch: impl Future<Output = FetchAnswer>) -> (FetchAnswer, usize) {
    let mut sent = 0;
    let served = async {
        loop {
            let chunks = chunks(package, &script.hear().await);
            sent += chunks.len();
            script.say(chunks);
        }
    };
    let answer = tokio::select! {
        answer = soon(fetch) => answer,
        () = served => unreachable!("it never ends"),
    };
    (answer, sent)
}

type FetchAnswer = Result<Option<Bytes>, String>;

#[tokio::test]
async fn a_package_comes_in_one_transfer_and_then_from_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (mut script, _worker, fetch) = fetching(&folder).await;
    let package = package();
    let id = id_of(&package);
    let (answer, sent) = serve(&mut script, &package, fetch(id)).await;
    assert!(answer.unwrap().unwrap() == package);
    assert_eq!(sent, 41);
    // Nobody answers now.
    assert!(soon(fetch(id)).await.unwrap().unwrap() == package);
    // Nor is it asked for by a worker that starts later in the same folder.
    let (_script, _worker, fetch) = fetching(&folder).await;
    assert!(soon(fetch(id)).await.unwrap().unwrap() == package);
}

#[tokio::test]
async fn a_changed_byte_is_refused_and_the_package_fetched_again() {
    let folder = tempfile::tempdir().unwrap();
    let (mut script, _worker, fetch) = fetching(&folder).await;
    let package = package();
    let mut corrupt = package.to_vec();
    corrupt[package.len() / 2] ^= 1;
    let corrupt = Bytes::from(corrupt);
    let waiting = tokio::spawn(fetch(id_of(&package)));
    let mut sent = 0;
    while sent < 41 {
        let chunks = chunks(&corrupt, &script.hear().await);
        sent += chunks.len();
        script.say(chunks);
    }
    let (answer, sent) = serve(&mut script, &package, async { waiting.await.unwrap() }).await;
    assert!(answer.unwrap().unwrap() == package);
    assert_eq!(sent, 41);
}

#[tokio::test]
async fn a_chunk_of_a_wrong_length_is_refused_and_the_package_fetched_again() {
    let folder = tempfile::tempdir().unwrap();
    let (mut script, _worker, fetch) = fetching(&folder).await;
    let package = package();
    let waiting = tokio::spawn(fetch(id_of(&package)));
    let mut wrong = chunks(&package, &script.hear().await);
    let ToWorker::Chunk { bytes, .. } = &mut wrong[3] else { panic!() };
    bytes.pop();
    script.say(wrong);
    let (answer, _) = serve(&mut script, &package, async { waiting.await.unwrap() }).await;
    assert!(answer.unwrap().unwrap() == package);
}

#[tokio::test]
async fn a_transfer_goes_on_over_the_next_connection() {
    let folder = tempfile::tempdir().unwrap();
    let (mut script, _worker, fetch) = fetching(&folder).await;
    let package = package();
    let waiting = tokio::spawn(fetch(id_of(&package)));
    let first = chunks(&package, &script.hear().await);
    assert_eq!(first.len(), 16);
    script.say(first);
    // Once it asks for more it has at least eight of them.
    script.hear().await;
    script.hang_up();
    script.welcome().await;
    let (answer, sent) = serve(&mut script, &package, async { waiting.await.unwrap() }).await;
    assert!(answer.unwrap().unwrap() == package);
    assert!(sent <= 41 - 8, "{sent} chunks were sent again");
}

#[tokio::test]
async fn a_package_that_is_nowhere_is_told_and_one_out_of_reach_asked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let (mut script, _worker, fetch) = fetching(&folder).await;
    let nowhere = PackageId([7; 32]);
    let waiting = tokio::spawn(fetch(nowhere));
    for retryable in [true, false] {
        assert!(matches!(script.hear().await, ToDispatcher::Fetch { package, .. } if package == nowhere));
        script.say(vec![ToWorker::NoPackage { package: nowhere, reason: "away".to_owned(), retryable }]);
    }
    assert_eq!(soon(waiting).await.unwrap(), Ok(None));
}

#[tokio::test]
async fn a_worker_that_ends_keeps_nobody_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let (mut script, worker, fetch) = fetching(&folder).await;
    let waiting = tokio::spawn(fetch(PackageId([7; 32])));
    script.hear().await;
    drop(worker);
    assert!(soon(waiting).await.unwrap().is_err());
}
