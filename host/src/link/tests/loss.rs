//! The end of a connection is noticed on both sides.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use super::*;

#[tokio::test]
async fn a_broken_connection_is_noticed_on_both_sides_and_nowhere_else() {
    for key in [None, Some(key())] {
        let (router, mut peers) = bind(key.as_ref(), RouterBounds::default());
        let (other, _other_events) = connect(&router, key.as_ref()).await;
        let other_peer = opened(&mut peers).await;
        let relay = Relay::before(&router).await;
        let (dealer, mut events) = connect_to(&relay.endpoint(), key.as_ref()).await;
        let peer = opened(&mut peers).await;

        let broken = Instant::now();
        relay.break_off();
        assert_eq!(closed(&mut peers, peer).await, CloseReason::Lost);
        let at_router = broken.elapsed();
        assert_eq!(parted(&mut events).await, CloseReason::Lost);
        println!("noticed by the router after {at_router:?}, by both after {:?}", broken.elapsed());
        assert!(matches!(router.send(peer, vec![ToWorker::Drain]), Err(SendError::Closed)));
        assert!(matches!(dealer.send(vec![ToDispatcher::Goodbye]), Err(SendError::Closed)));

        other.send(vec![ToDispatcher::Goodbye]).unwrap();
        assert_eq!(heard(&mut peers, other_peer).await, [ToDispatcher::Goodbye]);
    }
}

#[tokio::test]
async fn dropped_handles_and_receivers_end_the_connection() {
    let (router, mut peers) = bind(None, RouterBounds::default());
    let (dealer, events) = connect(&router, None).await;
    let peer = opened(&mut peers).await;
    drop(dealer);
    assert_eq!(closed(&mut peers, peer).await, CloseReason::ByOtherSide);
    drop(events);

    let (_dealer, events) = connect(&router, None).await;
    let peer = opened(&mut peers).await;
    drop(events);
    assert_eq!(closed(&mut peers, peer).await, CloseReason::ByOtherSide);

    let (_dealer, mut events) = connect(&router, None).await;
    opened(&mut peers).await;
    drop(peers);
    assert_eq!(parted(&mut events).await, CloseReason::ByOtherSide);
}

#[tokio::test]
async fn a_shutdown_ends_every_connection() {
    let (router, mut peers) = bind(Some(&key()), RouterBounds::default());
    let mut workers = Vec::new();
    for _ in 0..5 {
        workers.push(connect(&router, Some(&key())).await);
        let peer = opened(&mut peers).await;
        router.send(peer, vec![ToWorker::Drain]).unwrap();
    }
    within(router.clone().shutdown()).await;
    for (_, events) in &mut workers {
        assert_eq!(told(events).await, [ToWorker::Drain]);
        assert_eq!(parted(events).await, CloseReason::ByOtherSide);
    }
    let mut ends = 0;
    while let Some(event) = within(peers.recv()).await {
        assert!(matches!(event, PeerEvent::Closed { reason: CloseReason::Asked, .. }), "{event:?}");
        ends += 1;
    }
    assert_eq!(ends, 5);
}

/// Says in the environment of a process that it is to connect there and stay.
const CHILD: &str = "BULKHEAD_LINK_TEST_CHILD";

/// Runs itself once more as another process, and kills that.
#[tokio::test]
async fn a_killed_process_is_noticed() {
    if let Ok(address) = std::env::var(CHILD) {
        let (dealer, mut events) = connect_to(&address.parse().unwrap(), Some(&key())).await;
        dealer.send(vec![ToDispatcher::Goodbye]).unwrap();
        // Until it is killed.
        while events.recv().await.is_some() {}
        panic!("the connection ended");
    }
    let (router, mut peers) = bind(Some(&key()), RouterBounds::default());
    let name = "link::tests::loss::a_killed_process_is_noticed";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, router.address())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let ran = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .find(|line| line.contains("running"));
    assert_eq!(ran.as_deref(), Some("running 1 test"));
    let peer = opened(&mut peers).await;
    assert_eq!(heard(&mut peers, peer).await, [ToDispatcher::Goodbye]);
    let killed = Instant::now();
    child.kill().unwrap();
    let reason = closed(&mut peers, peer).await;
    println!("noticed after {:?}", killed.elapsed());
    assert_eq!(reason, CloseReason::Lost);
    child.wait().unwrap();
}
