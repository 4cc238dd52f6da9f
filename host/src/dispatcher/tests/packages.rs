//! Packages on their way to workers.

use bulkhead_protocol::id::PackageId;
use bulkhead_protocol::worker_message::{CHUNK_BYTES, ToDispatcher, ToWorker};
use bytes::Bytes;

use super::Server;
use super::scripted::{Worker, push};

/// Asks for chunks and returns what comes: where each begins, and its bytes.
async fn fetch(
    worker: &mut Worker,
    package: PackageId,
    first: u64,
    chunks: u32,
    expected: usize,
) -> Vec<(u64, Vec<u8>)> {
    worker.say([ToDispatcher::Fetch { package, offset: first * CHUNK_BYTES, chunks }]);
    let mut got = Vec::new();
    for _ in 0..expected {
        match worker.next().await {
            ToWorker::Chunk { package: of, offset, bytes, .. } if of == package => got.push((offset, bytes)),
            other => panic!("no chunk: {other:?}"),
        }
    }
    got
}

#[tokio::test]
async fn a_package_comes_in_chunks() {
    let server = Server::start(push()).await;
    let package = PackageId([2; 32]);
    let bytes: Vec<u8> = (0..5 * CHUNK_BYTES / 2).map(|place| (place % 251) as u8).collect();
    server.store.put_package(package, Bytes::from(bytes.clone())).await.unwrap();
    let mut worker = Worker::push(&server, 1).await;
    // Two workers at once: the package is read for both.
    let mut other = Worker::push(&server, 1).await;
    other.say([ToDispatcher::Fetch { package, offset: 0, chunks: 1 }]);
    let mut got = fetch(&mut worker, package, 0, 2, 2).await;
    // More chunks than are left: those that are there come.
    got.extend(fetch(&mut worker, package, 2, 16, 1).await);
    let whole: Vec<u8> = got.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    assert_eq!(got.iter().map(|(offset, _)| offset / CHUNK_BYTES).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(whole == bytes, "the chunks are not the package");
    let chunk = other.next().await;
    let total = bytes.len() as u64;
    assert!(matches!(chunk, ToWorker::Chunk { offset: 0, total: of, .. } if of == total));
    server.drain().await;
}

#[tokio::test]
async fn a_package_that_is_not_there_and_a_part_beyond_the_end_are_said_so() {
    let server = Server::start(push()).await;
    let mut worker = Worker::push(&server, 1).await;
    for (package, offset) in [(PackageId([9; 32]), 0), (super::PACKAGE_ID, CHUNK_BYTES)] {
        worker.say([ToDispatcher::Fetch { package, offset, chunks: 1 }]);
        let answer = worker.next().await;
        assert!(
            matches!(answer, ToWorker::NoPackage { package: of, retryable: false, .. } if of == package),
            "{answer:?}"
        );
    }
    server.drain().await;
}

#[tokio::test]
async fn a_package_that_cannot_be_read_now_may_be_asked_for_again() {
    let server = Server::start(push()).await;
    let mut worker = Worker::push(&server, 1).await;
    let file = server.folder.path().join("packages").join(super::PACKAGE_ID.to_string());
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    worker.say([ToDispatcher::Fetch { package: super::PACKAGE_ID, offset: 0, chunks: 1 }]);
    let answer = worker.next().await;
    assert!(matches!(answer, ToWorker::NoPackage { retryable: true, .. }), "{answer:?}");
    std::fs::remove_dir(&file).unwrap();
    std::fs::write(&file, super::PACKAGE).unwrap();
    let got = fetch(&mut worker, super::PACKAGE_ID, 0, 1, 1).await;
    assert_eq!(got, [(0, super::PACKAGE.to_vec())]);
    server.drain().await;
}
