//! Whoever is slow makes others wait, and nothing grows without bound.

use super::bounds::{DEALER_EVENT_BYTES, DEALER_OUTBOX_BYTES};
use super::*;

const MIB: usize = 1024 * 1024;
/// What libzmq and the kernel hold of one connection, generously.
const ON_THE_WAY: usize = 32 * MIB;

#[tokio::test]
async fn a_slow_dispatcher_makes_its_workers_wait_and_loses_nothing() {
    let bounds = RouterBounds { events: 4, event_bytes: 2 * MIB, ..RouterBounds::default() };
    let (router, mut peers) = bind(Some(&key()), bounds);
    let (dealer, mut events) = connect(&router, Some(&key())).await;
    let peer = opened(&mut peers).await;
    // Until nothing more is taken, for longer than anything takes.
    let mut sent = 0;
    let mut full = 0;
    while full < 200 {
        match dealer.send(vec![ended(sent, MIB)]) {
            Ok(()) => (sent, full) = (sent + 1, 0),
            Err(SendError::Full) => {
                full += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    let held = sent as usize * MIB;
    assert!(held >= DEALER_OUTBOX_BYTES - MIB, "{held}");
    assert!(held <= DEALER_OUTBOX_BYTES + ON_THE_WAY, "{held}");

    // The other direction is open all the while, and so is the end of the queue.
    router.send(peer, vec![ToWorker::Drain]).unwrap();
    assert_eq!(told(&mut events).await, [ToWorker::Drain]);
    let last = tokio::spawn(async move {
        dealer.send_when_room(vec![ended(sent, MIB)]).await.unwrap();
        dealer
    });
    let mut arrived = Vec::new();
    while arrived.len() <= sent as usize {
        arrived.extend(heard(&mut peers, peer).await.iter().map(number));
    }
    assert!(arrived.into_iter().eq(0..=sent));
    within(last).await.unwrap();
}

#[tokio::test]
async fn a_slow_worker_is_closed_when_too_much_waits_for_it() {
    let bounds = RouterBounds { outbox_bytes: 2 * MIB, ..RouterBounds::default() };
    let (router, mut peers) = bind(None, bounds);
    let (slow_dealer, mut slow) = connect(&router, None).await;
    let slow_peer = opened(&mut peers).await;
    let (_dealer, mut events) = connect(&router, None).await;
    let peer = opened(&mut peers).await;
    let text = ToWorker::Refused { reason: "r".repeat(60_000) };
    let mut taken = 0;
    loop {
        match router.send(slow_peer, vec![text.clone()]) {
            Ok(()) => taken += 60_000,
            Err(SendError::Full) => break,
            Err(error) => panic!("{error}"),
        }
        assert!(taken < DEALER_EVENT_BYTES + ON_THE_WAY, "{taken}");
        // At first no faster than the link is, so that what fills up is the worker.
        while router.backlog(slow_peer).is_some_and(|backlog| backlog.bytes > MIB) && taken < DEALER_EVENT_BYTES / 2 {
            tokio::task::yield_now().await;
        }
    }
    assert!(matches!(router.send(slow_peer, vec![text]), Err(SendError::Closed)));
    assert_eq!(router.backlog(slow_peer), None);
    assert_eq!(closed(&mut peers, slow_peer).await, CloseReason::Overflow);
    // Others are served.
    router.send(peer, vec![ToWorker::Drain]).unwrap();
    assert_eq!(told(&mut events).await, [ToWorker::Drain]);
    // It gets what is on its way. The notice of the end may have found no room there, but whatever it says
    // is answered with another: its next heartbeat, at the latest.
    let end = within(async {
        loop {
            match tokio::time::timeout(Duration::from_millis(50), slow.recv()).await {
                Ok(Some(DealerEvent::Messages(_))) => {}
                Ok(end) => return end,
                Err(_) => drop(slow_dealer.send(vec![ToDispatcher::Heartbeat])),
            }
        }
    });
    let end = end.await;
    assert!(matches!(end, Some(DealerEvent::Closed { reason: CloseReason::ByOtherSide })), "{end:?}");
}

#[tokio::test]
async fn the_largest_reports_pass_one_after_the_other() {
    let (router, mut peers) = bind(None, RouterBounds { event_bytes: MIB, ..RouterBounds::default() });
    let (dealer, _events) = connect(&router, None).await;
    let peer = opened(&mut peers).await;
    let sending = tokio::spawn(async move {
        for number in 0..5 {
            dealer.send_when_room(vec![ended(number, 60 * MIB)]).await.unwrap();
        }
        dealer
    });
    for expected in 0..5 {
        let messages = heard(&mut peers, peer).await;
        assert_eq!(messages.iter().map(number).collect::<Vec<_>>(), [expected]);
    }
    within(sending).await.unwrap();
}

#[tokio::test]
async fn batches_that_are_put_together_are_bounded_over_all_peers() {
    let (router, mut peers) = bind(None, RouterBounds { unfinished_bytes: 3 * MIB, ..RouterBounds::default() });
    let mut begun = Vec::new();
    // Each begins a batch of a megabyte and a bit, and does not end it.
    for _ in 0..2 {
        let mut raw = RawPeer::open(&router.address(), None);
        opened(&mut peers).await;
        raw.send(frame::Cutter::new(vec![0; MIB + 10]).next().unwrap());
        begun.push(raw);
    }
    let mut third = RawPeer::open(&router.address(), None);
    let peer = opened(&mut peers).await;
    third.send(frame::Cutter::new(vec![0; MIB + 10]).next().unwrap());
    assert_eq!(closed(&mut peers, peer).await, CloseReason::Crowded);
    // What the first began is given back when it goes.
    drop(begun);
    for _ in 0..2 {
        let event = within(peers.recv()).await;
        assert!(matches!(event, Some(PeerEvent::Closed { reason: CloseReason::Lost, .. })), "{event:?}");
    }
    let (dealer, _events) = connect(&router, None).await;
    let peer = opened(&mut peers).await;
    dealer.send(vec![ended(1, 2 * MIB)]).unwrap();
    assert_eq!(heard(&mut peers, peer).await.len(), 1);
}
