//! What is sent arrives, in order.

use std::collections::HashSet;

use super::*;

#[tokio::test]
async fn messages_arrive_in_order_in_both_directions() {
    for key in [None, Some(key())] {
        let (router, mut peers) = bind(key.as_ref(), RouterBounds::default());
        let (dealer, mut events) = connect(&router, key.as_ref()).await;
        let peer = opened(&mut peers).await;

        const COUNT: u32 = 5000;
        for number in 0..COUNT {
            dealer.send(vec![ended(number, 10)]).unwrap();
            router.send(peer, vec![ToWorker::Cancel { id: attempt(number) }]).unwrap();
        }
        let mut at_dispatcher = Vec::new();
        while at_dispatcher.len() < COUNT as usize {
            at_dispatcher.extend(heard(&mut peers, peer).await.iter().map(number));
        }
        assert!(at_dispatcher.into_iter().eq(0..COUNT));
        let mut at_worker = Vec::new();
        while at_worker.len() < COUNT as usize {
            at_worker.extend(told(&mut events).await);
        }
        let expected = (0..COUNT).map(|number| ToWorker::Cancel { id: attempt(number) });
        assert!(at_worker.into_iter().eq(expected));
    }
}

#[tokio::test]
async fn the_largest_report_travels_in_fragments_and_a_heartbeat_overtakes_it() {
    for key in [None, Some(key())] {
        let (router, mut peers) = bind(key.as_ref(), RouterBounds::default());
        let (dealer, _events) = connect(&router, key.as_ref()).await;
        let peer = opened(&mut peers).await;
        let largest = ended(1, 64 * 1024 * 1024);
        dealer.send(vec![largest.clone(), ToDispatcher::Heartbeat, ToDispatcher::Goodbye]).unwrap();
        assert_eq!(heard(&mut peers, peer).await, [ToDispatcher::Heartbeat]);
        let arrived = heard(&mut peers, peer).await;
        // Not assert_eq: nobody wants to read it.
        assert!(arrived == [largest], "{} messages", arrived.len());
        assert_eq!(heard(&mut peers, peer).await, [ToDispatcher::Goodbye]);
    }
}

#[tokio::test]
async fn many_peers_are_told_apart() {
    let key = key();
    let (router, mut peers) = bind(Some(&key), RouterBounds::default());
    let mut dealers = Vec::new();
    for number in 0..20 {
        let (dealer, mut events) = connect(&router, Some(&key)).await;
        let peer = opened(&mut peers).await;
        dealer.send(vec![ended(number, 1)]).unwrap();
        assert_eq!(heard(&mut peers, peer).await, [ended(number, 1)]);
        router.send(peer, vec![ToWorker::Cancel { id: attempt(number) }]).unwrap();
        assert_eq!(told(&mut events).await, [ToWorker::Cancel { id: attempt(number) }]);
        dealers.push((dealer, events, peer));
    }
    let ids: HashSet<PeerId> = dealers.iter().map(|(.., peer)| *peer).collect();
    assert_eq!(ids.len(), dealers.len());
}

#[tokio::test]
async fn what_was_sent_before_a_close_arrives_before_the_end() {
    let (router, mut peers) = bind(None, RouterBounds::default());
    let (dealer, mut events) = connect(&router, None).await;
    let peer = opened(&mut peers).await;
    let refused = ToWorker::Refused { reason: "r".repeat(60_000) };
    for _ in 0..50 {
        router.send(peer, vec![refused.clone()]).unwrap();
    }
    router.close(peer);
    assert!(matches!(router.send(peer, vec![ToWorker::Drain]), Err(SendError::Closed)));
    assert_eq!(closed(&mut peers, peer).await, CloseReason::Asked);
    let mut count = 0;
    while count < 50 {
        count += told(&mut events).await.len();
    }
    assert_eq!(parted(&mut events).await, CloseReason::ByOtherSide);
    assert!(within(events.recv()).await.is_none());
    assert!(matches!(dealer.send(vec![ToDispatcher::Goodbye]), Err(SendError::Closed)));

    let (dealer, mut events) = connect(&router, None).await;
    let peer = opened(&mut peers).await;
    dealer.send((0..50).map(|number| ended(number, 60_000)).collect()).unwrap();
    within(dealer.close()).await;
    let mut count = 0;
    while count < 50 {
        count += heard(&mut peers, peer).await.len();
    }
    assert_eq!(closed(&mut peers, peer).await, CloseReason::ByOtherSide);
    assert_eq!(parted(&mut events).await, CloseReason::Asked);
}

#[tokio::test]
async fn a_sealed_link_shows_nothing_of_what_it_carries() {
    let secret = b"nobody else may read these words";
    for (key, shown) in [(None, true), (Some(key()), false)] {
        let (router, mut peers) = bind(key.as_ref(), RouterBounds::default());
        let mut relay = Relay::before(&router).await;
        let (dealer, mut events) = connect_to(&relay.endpoint(), key.as_ref()).await;
        let peer = opened(&mut peers).await;
        let mut message = ended(1, 0);
        if let ToDispatcher::Ended { report, .. } = &mut message {
            report.result = secret.repeat(10_000);
        }
        dealer.send(vec![message.clone()]).unwrap();
        assert_eq!(heard(&mut peers, peer).await, [message]);
        let reason = String::from_utf8(secret.to_vec()).unwrap();
        router.send(peer, vec![ToWorker::Refused { reason: reason.clone() }]).unwrap();
        assert_eq!(told(&mut events).await, [ToWorker::Refused { reason }]);
        let passed = relay.passed();
        assert!(passed.len() > 10_000 * secret.len());
        // Any eight bytes of it, at any place.
        let visible = passed.windows(8).any(|window| secret.windows(8).any(|part| part == window));
        assert_eq!(visible, shown);
    }
}
