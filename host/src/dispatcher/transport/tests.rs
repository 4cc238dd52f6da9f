//! The roster over a link on which nobody is: what would be said goes nowhere.

use bulkhead_dispatch::Input;
use bulkhead_protocol::id::{TaskId, WorkerId};
use bulkhead_protocol::worker_message::{AttemptId, Hello, ToDispatcher, ToWorker, WorkerMode};
use uuid::Uuid;

use super::{Cancel, Heard, Roster};
use crate::dispatcher::config::Remote;
use crate::link::{CloseReason, PeerEvent, PeerId, Router, RouterBounds};

const WORKER: WorkerId = WorkerId(Uuid::from_u128(1));
const MIB: u64 = 1024 * 1024;

fn roster() -> Roster {
    let remote = Remote::new("tcp://127.0.0.1:0".parse().unwrap(), None);
    let (router, _) = Router::bind(&remote.endpoint, None, RouterBounds::default()).unwrap();
    Roster::new(router, &remote, WorkerMode::Push)
}

fn id(number: u128) -> AttemptId {
    AttemptId { task: TaskId(Uuid::from_u128(number)), attempt: 1 }
}

fn hello(in_hand: Vec<AttemptId>) -> ToDispatcher {
    let name = "w".to_owned();
    ToDispatcher::Hello(Hello { worker: WORKER, token: [0; 16], name, mode: WorkerMode::Push, slots: 9, in_hand })
}

impl Roster {
    fn opened(&mut self, peer: u64) {
        self.hear(PeerEvent::Opened { peer: PeerId::for_tests(peer), address: None }, 0, &mut Vec::new());
    }

    /// What is made of a message beside a sign of life.
    fn says(&mut self, peer: u64, message: ToDispatcher) -> Vec<Heard> {
        let mut heard = Vec::new();
        let event = PeerEvent::Messages { peer: PeerId::for_tests(peer), messages: vec![message] };
        self.hear(event, 0, &mut heard);
        heard.retain(|heard| !matches!(heard, Heard::Input(Input::Heartbeat { .. })));
        heard
    }

    fn closed(&mut self, peer: u64) -> Vec<Heard> {
        let mut heard = Vec::new();
        self.hear(PeerEvent::Closed { peer: PeerId::for_tests(peer), reason: CloseReason::Lost }, 0, &mut heard);
        heard
    }

    /// Assigns an attempt with an input of so many bytes; whether it was sent.
    fn gives(&mut self, id: AttemptId, bytes: u64) -> bool {
        self.assigned(WORKER, id);
        self.sends(id, bytes)
    }

    fn sends(&mut self, id: AttemptId, bytes: u64) -> bool {
        let may_send = self.may_send(WORKER, id, bytes);
        if may_send {
            self.send_assignment(WORKER, id, ToWorker::Heartbeat, bytes);
        }
        may_send
    }
}

#[test]
fn large_inputs_are_kept_back_in_order_until_others_begin() {
    let mut roster = roster();
    roster.opened(1);
    assert_eq!(roster.says(1, hello(Vec::new())).len(), 1);
    assert!(roster.gives(id(1), 100 * MIB));
    assert!(!roster.gives(id(2), 60 * MIB));
    assert!(!roster.gives(id(3), 1), "it would overtake");
    assert!(!roster.gives(id(4), 60 * MIB));
    let again = |roster: &mut Roster| roster.released().into_iter().map(|(_, id)| id).collect::<Vec<_>>();
    assert_eq!(again(&mut roster), [id(2), id(3), id(4)]);
    for kept in [id(2), id(3), id(4)] {
        assert!(!roster.sends(kept, 60 * MIB));
    }
    assert_eq!(roster.cancel(WORKER, id(4)), Cancel::NeverSent);
    assert_eq!(roster.says(1, ToDispatcher::Started { id: id(1), at_ms: 0 }).len(), 1);
    assert_eq!(again(&mut roster), [id(2), id(3), id(4)]);
    assert!(roster.sends(id(2), 60 * MIB) && roster.sends(id(3), 60 * MIB));
    assert!(!roster.sends(id(4), 60 * MIB), "it was cancelled");
    assert!(again(&mut roster).is_empty());
    assert_eq!(roster.cancel(WORKER, id(2)), Cancel::Told);
}

#[test]
fn the_end_of_an_old_connection_is_not_the_end_of_the_new_one() {
    let mut roster = roster();
    roster.opened(1);
    roster.says(1, hello(Vec::new()));
    roster.opened(2);
    let again = roster.says(2, hello(vec![id(1)]));
    assert!(matches!(&again[..], [Heard::Input(Input::Hello { in_hand, .. })] if in_hand.len() == 1), "{again:?}");
    assert!(roster.closed(1).is_empty());
    assert!(roster.says(1, ToDispatcher::Goodbye).is_empty(), "nobody hears what was said on the old one");
    assert!(matches!(roster.closed(2)[..], [Heard::Input(Input::Disconnected { worker: WORKER })]));
}

#[test]
fn heartbeats_may_overtake_the_hello() {
    let mut roster = roster();
    roster.opened(1);
    assert!(roster.says(1, ToDispatcher::Heartbeat).is_empty());
    assert_eq!(roster.says(1, hello(Vec::new())).len(), 1);
    assert_eq!(roster.says(1, ToDispatcher::Goodbye).len(), 1);
}
