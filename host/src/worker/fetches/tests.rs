use super::*;

const PACKAGE: PackageId = PackageId([1; 32]);
const OTHER: PackageId = PackageId([2; 32]);

type Answer = oneshot::Receiver<Result<Bytes, TransferError>>;

/// Transfers over a connection, and a transfer of one package that has just begun.
fn begun() -> (Fetches, Answer, Instant) {
    let now = Instant::now();
    let mut fetches = Fetches::default();
    let mut out = Vec::new();
    fetches.connected(now, &mut out);
    let answer = begin(&mut fetches, now, PACKAGE, &mut out);
    assert_eq!(out, [fetch(0, 16)]);
    (fetches, answer, now)
}

fn begin(fetches: &mut Fetches, now: Instant, package: PackageId, out: &mut Vec<ToDispatcher>) -> Answer {
    let (answer, answered) = oneshot::channel();
    fetches.begin(now, Wanted { package, answer }, out);
    answered
}

fn fetch(chunk: u64, chunks: u32) -> ToDispatcher {
    ToDispatcher::Fetch { package: PACKAGE, offset: chunk * CHUNK_BYTES, chunks }
}

/// A package of some chunks and a bit.
fn package(chunks: u64) -> Vec<u8> {
    (0..chunks * CHUNK_BYTES - 100).map(|index| (index % 251) as u8).collect()
}

/// Gives chunk number `chunk` of a package to the transfers.
fn give(fetches: &mut Fetches, now: Instant, package: &[u8], chunk: u64) -> Vec<ToDispatcher> {
    let offset = chunk * CHUNK_BYTES;
    let end = (offset + CHUNK_BYTES).min(package.len() as u64);
    let mut out = Vec::new();
    let bytes = &package[offset as usize..end as usize];
    fetches.chunk(now, PACKAGE, (offset, package.len() as u64), bytes, &mut out);
    out
}

#[test]
fn a_small_package_comes_with_the_first_request() {
    let (mut fetches, mut answer, now) = begun();
    let package = package(2);
    assert!(give(&mut fetches, now, &package, 0).is_empty());
    assert!(answer.try_recv().is_err());
    assert!(give(&mut fetches, now, &package, 1).is_empty());
    assert_eq!(answer.try_recv().unwrap().unwrap(), package);
    assert!(fetches.transfers.is_empty() && fetches.next_wake().is_none());
}

#[test]
fn a_large_package_is_asked_for_while_it_comes_in_whatever_order() {
    let (mut fetches, mut answer, now) = begun();
    let package = package(40);
    let mut on_their_way: VecDeque<u64> = (0..16).collect();
    let mut most = 16;
    let mut rounds = 0;
    while let Some(chunk) = if rounds % 3 == 0 { on_their_way.pop_back() } else { on_their_way.pop_front() } {
        rounds += 1;
        for asked in give(&mut fetches, now, &package, chunk) {
            let ToDispatcher::Fetch { offset, chunks, .. } = asked else { panic!("{asked:?}") };
            on_their_way.extend((0..u64::from(chunks)).map(|more| offset / CHUNK_BYTES + more));
        }
        most = most.max(on_their_way.len());
    }
    assert_eq!((rounds, most), (40, 16), "each chunk is asked for once, never more than 16 at a time");
    assert_eq!(answer.try_recv().unwrap().unwrap(), package);
}

#[test]
fn a_transfer_goes_on_where_it_was_on_the_next_connection() {
    let (mut fetches, mut answer, now) = begun();
    let package = package(20);
    for chunk in [0, 1, 2, 3, 5] {
        give(&mut fetches, now, &package, chunk);
    }
    fetches.disconnected();
    assert_eq!(fetches.next_wake(), None, "nothing is asked for without a connection");
    let mut out = Vec::new();
    fetches.connected(now, &mut out);
    assert_eq!(out, [fetch(4, 1), fetch(6, 14)]);
    let mut chunks: VecDeque<u64> = [4].into_iter().chain(6..20).collect();
    // One that was on its way twice.
    chunks.push_front(5);
    for chunk in chunks {
        assert!(give(&mut fetches, now, &package, chunk).is_empty());
    }
    assert_eq!(answer.try_recv().unwrap().unwrap(), package);
}

#[test]
fn what_is_no_part_of_the_package_ends_the_transfer() {
    let package = package(3);
    let total = package.len() as u64;
    let chunk = CHUNK_BYTES as usize;
    for (offset, claimed, bytes) in [
        (1, total, &package[..chunk]),
        (3 * CHUNK_BYTES, total, &package[..chunk]),
        (u64::MAX / CHUNK_BYTES * CHUNK_BYTES, total, &package[..chunk]),
        (0, total, &package[..chunk - 1]),
        (0, total, &package[..chunk + 1]),
        (0, total, &[]),
        (2 * CHUNK_BYTES, total, &package[..chunk]),
        (CHUNK_BYTES, total + 1, &package[..chunk]),
        (CHUNK_BYTES, 0, &[]),
    ] {
        let (mut fetches, mut answer, now) = begun();
        give(&mut fetches, now, &package, 1);
        fetches.chunk(now, PACKAGE, (offset, claimed), bytes, &mut Vec::new());
        let refused = answer.try_recv().unwrap();
        assert!(matches!(refused, Err(TransferError::Refused { .. })), "{offset} {claimed} {}", bytes.len());
    }
}

#[test]
fn a_size_beyond_the_bound_is_refused_before_there_is_memory_for_it() {
    for (total, fits) in [(0, false), (MAX_PACKAGE_BYTES, true), (MAX_PACKAGE_BYTES + 1, false), (u64::MAX, false)] {
        let (mut fetches, mut answer, now) = begun();
        fetches.chunk(now, PACKAGE, (0, total), &vec![0; CHUNK_BYTES as usize], &mut Vec::new());
        assert_eq!(answer.try_recv().is_err(), fits, "{total}");
    }
}

#[test]
fn few_packages_are_transferred_at_once_and_the_others_in_turn() {
    let now = Instant::now();
    let mut fetches = Fetches::default();
    let mut out = Vec::new();
    fetches.connected(now, &mut out);
    let ids: Vec<PackageId> = (0..MAX_AT_ONCE as u8 + 2).map(|number| PackageId([number; 32])).collect();
    let mut answers: Vec<_> = ids.iter().map(|id| begin(&mut fetches, now, *id, &mut out)).collect();
    assert_eq!(out.len(), MAX_AT_ONCE);
    out.clear();
    fetches.chunk(now, ids[0], (0, 1), &[9], &mut out);
    assert_eq!(answers[0].try_recv().unwrap().unwrap(), &[9][..]);
    assert!(matches!(out[..], [ToDispatcher::Fetch { package, .. }] if package == ids[MAX_AT_ONCE]));
    fetches.abandon("the worker ends");
    for answer in &mut answers[1..] {
        assert!(matches!(answer.try_recv().unwrap(), Err(TransferError::Unavailable { .. })));
    }
}

#[test]
fn a_package_that_is_nowhere_is_told_at_once() {
    let (mut fetches, mut answer, now) = begun();
    fetches.refused(now, PACKAGE, ("deleted".to_owned(), false), &mut Vec::new());
    assert_eq!(answer.try_recv().unwrap(), Err(TransferError::Unknown { reason: "deleted".to_owned() }));
    // Nobody asked for it.
    fetches.refused(now, OTHER, ("deleted".to_owned(), false), &mut Vec::new());
}

#[test]
fn a_package_that_cannot_be_had_now_is_asked_for_again_but_not_for_ever() {
    let (mut fetches, mut answer, start) = begun();
    let mut now = start;
    let mut waits = Vec::new();
    let refusal = loop {
        let mut out = Vec::new();
        fetches.refused(now, PACKAGE, ("the store is away".to_owned(), true), &mut out);
        assert!(out.is_empty());
        let wake = fetches.next_wake().unwrap();
        waits.push(wake - now);
        now = wake;
        fetches.tick(now, &mut out);
        if let Ok(refusal) = answer.try_recv() {
            break refusal;
        }
        assert_eq!(out, [fetch(0, 16)]);
    };
    assert_eq!(refusal, Err(TransferError::Unavailable { reason: "the store is away".to_owned() }));
    assert_eq!(waits[..3], [ASK_AGAIN.0, 2 * ASK_AGAIN.0, 4 * ASK_AGAIN.0]);
    assert!(waits.iter().all(|wait| *wait <= ASK_AGAIN.1));
    assert_eq!(now - start, GIVE_UP_AFTER);
}

#[test]
fn after_a_refusal_what_is_missing_is_asked_for() {
    let (mut fetches, _answer, now) = begun();
    let package = package(4);
    give(&mut fetches, now, &package, 0);
    give(&mut fetches, now, &package, 2);
    let mut out = Vec::new();
    fetches.refused(now, PACKAGE, ("the store is away".to_owned(), true), &mut out);
    fetches.tick(now + ASK_AGAIN.0 / 2, &mut out);
    assert!(out.is_empty());
    fetches.tick(now + ASK_AGAIN.0, &mut out);
    assert_eq!(out, [fetch(1, 1), fetch(3, 1)]);
}

#[test]
fn silence_of_a_dispatcher_that_lives_has_an_end() {
    let (mut fetches, mut answer, now) = begun();
    let later = now + GIVE_UP_AFTER / 2;
    give(&mut fetches, later, &package(4), 0);
    fetches.tick(now + GIVE_UP_AFTER, &mut Vec::new());
    assert!(answer.try_recv().is_err(), "something came meanwhile");
    assert_eq!(fetches.next_wake(), Some(later + GIVE_UP_AFTER));
    fetches.tick(later + GIVE_UP_AFTER, &mut Vec::new());
    assert!(matches!(answer.try_recv().unwrap(), Err(TransferError::Unavailable { .. })));
}

#[test]
fn time_without_a_connection_does_not_count() {
    let (mut fetches, mut answer, now) = begun();
    fetches.disconnected();
    fetches.tick(now + 10 * GIVE_UP_AFTER, &mut Vec::new());
    let mut out = Vec::new();
    fetches.connected(now + 10 * GIVE_UP_AFTER, &mut out);
    assert_eq!(out, [fetch(0, 16)]);
    assert!(answer.try_recv().is_err());
}
