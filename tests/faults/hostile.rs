//! Workers that mean harm, or speak nonsense: whatever they send, the dispatcher goes on, the other
//! workers go on, and nobody's result is theirs to give.

use std::time::Duration;

use bulkhead_protocol::codec;
use bulkhead_protocol::id::{PackageId, WorkerId};
use bulkhead_protocol::outcome::{Outcome, Report};
use bulkhead_protocol::task::Progress;
use bulkhead_protocol::worker_message::{
    AttemptId, Greeting, GreetingKind, Hello, MAX_BATCH_BYTES, MAX_BATCH_MESSAGES, MAX_FRAME_BYTES, MAX_IN_HAND,
    ToDispatcher, WorkerMode,
};
use bulkhead_tests::{Client, Cluster, Layout, Mode, Sleepers};
use serde_json::{Value, json};

use crate::setup::{cluster, completed, pull_and_push, view};

pull_and_push!(nonsense_on_the_wire, words_about_the_attempts_of_others, a_worker_that_takes_and_leaves);

/// How long a peer waits for a word that may not come.
const PATIENCE_MS: i32 = 2000;

/// A connection that says whatever it is told to.
struct Peer {
    socket: zmq::Socket,
    /// Lives as long as the socket.
    _context: zmq::Context,
}

impl Peer {
    fn connect(cluster: &Cluster) -> Self {
        let context = zmq::Context::new();
        let socket = context.socket(zmq::DEALER).expect("a socket");
        socket.set_linger(0).expect("an option");
        socket.set_rcvtimeo(PATIENCE_MS).expect("an option");
        socket.set_sndtimeo(PATIENCE_MS).expect("an option");
        socket.connect(cluster.address(0)).expect("an address");
        Self { socket, _context: context }
    }

    /// Sends a frame. One that the dispatcher is done with may not take it.
    fn send(&self, frame: &[u8]) {
        let _ = self.socket.send(frame, 0);
    }

    fn receive(&self) -> Option<Vec<u8>> {
        self.socket.recv_bytes(0).ok()
    }

    /// A connection that has greeted as workers without a join key do.
    fn greeted(cluster: &Cluster) -> Self {
        let peer = Self::connect(cluster);
        peer.send(&Greeting::new(GreetingKind::Plain, Vec::new()).to_bytes());
        let answer = peer.receive().expect("an answer to a right greeting");
        assert_eq!(Greeting::from_bytes(&answer).expect("a greeting").kind, GreetingKind::Plain);
        peer.send(&frame(READY, 0, &[]));
        peer
    }

    fn say(&self, messages: &[ToDispatcher]) {
        let batch = codec::encode(&messages).expect("messages can be encoded");
        self.send(&frame(WHOLE, batch.len(), &batch));
    }
}

/// Kinds of frames, as the link has them.
const WHOLE: u8 = 0;
const FIRST: u8 = 1;
const NEXT: u8 = 2;
const READY: u8 = 3;

/// A frame with a head that claims `total` bytes.
fn frame(kind: u8, total: usize, payload: &[u8]) -> Vec<u8> {
    let total = u32::try_from(total).unwrap_or(u32::MAX);
    [&[kind][..], &total.to_le_bytes(), payload].concat()
}

fn hello(worker: WorkerId, in_hand: Vec<AttemptId>, mode: Mode) -> ToDispatcher {
    let mode = if mode == Mode::Push { WorkerMode::Push } else { WorkerMode::Pull };
    ToDispatcher::Hello(Hello { worker, token: [6; 16], name: "worker-666".to_owned(), mode, slots: 1, in_hand })
}

fn worker_id(number: u8) -> WorkerId {
    format!("0000{number:04x}-6666-4666-8666-666666666666").parse().expect("an id")
}

fn success(result: &Value) -> Report {
    let report = Report::without_process(Outcome::Succeeded);
    Report { result: result.to_string().into_bytes(), ..report }
}

/// Checks that nothing has happened to anybody else.
#[track_caller]
fn all_is_well(cluster: &mut Cluster, client: &Client, after: &str) {
    let task = client.submit(&json!({"function": "hello", "args": [after]}));
    let view = completed(client, &task, &json!(format!("Hello, {after}!")));
    assert_eq!(view["attempt"], 1, "after {after}: {view}");
    let dispatcher = &mut cluster.dispatchers[0];
    assert!(dispatcher.ended().is_none(), "after {after} the dispatcher ended:\n{}", dispatcher.log());
    assert!(!dispatcher.log().contains("panicked"), "after {after}:\n{}", dispatcher.log());
}

/// What no worker sends, from no greeting to lengths that do not fit.
fn nonsense_on_the_wire(mode: Mode) {
    let mut cluster = cluster(Layout::new(mode).slots(2), &["hello"]);
    let client = cluster.client();

    for greeting in
        [&b""[..], b"\0", b"BLKH", b"BLKH\x01\x00", b"BLKH\x01\x00\xff", b"BLKH\xff\xff\x00", b"GET / HTTP/1.1\r\n"]
    {
        let peer = Peer::connect(&cluster);
        peer.send(greeting);
        peer.receive();
        peer.say(&[hello(worker_id(1), Vec::new(), mode)]);
    }
    let multipart = Peer::connect(&cluster);
    let _ = multipart.socket.send_multipart(vec![vec![0_u8; 100]; 100], 0);
    let large = Peer::connect(&cluster);
    large.send(&vec![0; MAX_FRAME_BYTES * 3]);
    let sealed = Peer::connect(&cluster);
    sealed.send(&Greeting::new(GreetingKind::Sealed, vec![7; 48]).to_bytes());
    assert_eq!(
        sealed.receive().and_then(|answer| Some(Greeting::from_bytes(&answer).ok()?.kind)),
        Some(GreetingKind::KeyUnexpected)
    );
    let impatient = Peer::connect(&cluster);
    for _ in 0..1000 {
        impatient.send(&Greeting::new(GreetingKind::Plain, Vec::new()).to_bytes());
    }
    all_is_well(&mut cluster, &client, "greetings");

    let half = MAX_FRAME_BYTES - 5;
    let frames: Vec<Vec<Vec<u8>>> = vec![
        vec![Vec::new()],
        vec![vec![WHOLE]],
        vec![frame(9, 4, b"what")],
        vec![frame(WHOLE, 0, &[])],
        vec![frame(WHOLE, 100, b"short")],
        vec![frame(WHOLE, 1, b"long")],
        vec![frame(WHOLE, usize::MAX, b"")],
        vec![frame(FIRST, MAX_BATCH_BYTES + 1, &vec![0; half])],
        vec![frame(FIRST, MAX_BATCH_BYTES, b"a fragment that is too short")],
        vec![frame(NEXT, MAX_BATCH_BYTES, &vec![0; half])],
        vec![frame(FIRST, 2 * half, &vec![0xff; half]), frame(NEXT, 2 * half, &vec![0xff; half])],
        vec![frame(FIRST, 2 * half, &vec![0; half]), frame(FIRST, 2 * half, &vec![0; half])],
        vec![frame(READY, 0, &[]); 3],
        // Lists that claim more than there is, in the codec's ways to write a length.
        vec![frame(WHOLE, 1, &[0xfa])],
        vec![frame(WHOLE, 9, &[0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])],
        vec![frame(WHOLE, 5, &[0xfc, 0xff, 0xff, 0xff, 0x7f])],
        // A message that does not exist, and a hello whose list goes on for ever.
        vec![frame(WHOLE, 2, &[1, 200])],
        vec![frame(WHOLE, 11, &[1, 0, 16, 0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])],
    ];
    for frames in frames {
        let peer = Peer::greeted(&cluster);
        for frame in &frames {
            peer.send(frame);
        }
        peer.say(&[ToDispatcher::Heartbeat]);
    }
    all_is_well(&mut cluster, &client, "frames");

    // Many begin a long batch and never end it.
    let unfinished: Vec<Peer> = (0..20).map(|_| Peer::greeted(&cluster)).collect();
    for peer in &unfinished {
        peer.send(&frame(FIRST, MAX_BATCH_BYTES, &vec![0; half]));
    }
    all_is_well(&mut cluster, &client, "unfinished batches");
    drop(unfinished);

    let unknown = AttemptId { task: "01936f5e-8f6a-7b3c-9d4e-5f6a7b8c9d0e".parse().expect("an id"), attempt: 1 };
    let messages: Vec<Vec<ToDispatcher>> = vec![
        vec![ToDispatcher::Heartbeat; MAX_BATCH_MESSAGES + 1],
        vec![ToDispatcher::Ready { count: u32::MAX }],
        vec![ToDispatcher::Goodbye, ToDispatcher::Goodbye],
        vec![hello(worker_id(2), vec![unknown; MAX_IN_HAND + 1], mode)],
        vec![hello(worker_id(2), vec![unknown; 3], mode)],
        vec![hello(worker_id(3), Vec::new(), mode), ToDispatcher::Ahead { ahead: u32::MAX }],
        vec![hello(worker_id(3), Vec::new(), mode), hello(worker_id(4), Vec::new(), mode)],
        vec![hello("00000000-0000-0000-0000-000000000000".parse().expect("an id"), Vec::new(), mode)],
        vec![
            hello(worker_id(5), Vec::new(), mode),
            ToDispatcher::Fetch { package: PackageId([6; 32]), offset: u64::MAX, chunks: u32::MAX },
        ],
        vec![
            hello(worker_id(5), Vec::new(), mode),
            ToDispatcher::Started { id: unknown, at_ms: u64::MAX },
            ToDispatcher::Progress {
                id: unknown,
                progress: Progress { fraction: f64::NAN, message: "x".repeat(1 << 20) },
            },
            ToDispatcher::Ended { id: unknown, report: success(&json!("for nobody")) },
            ToDispatcher::Goodbye,
        ],
    ];
    for messages in messages {
        let peer = Peer::greeted(&cluster);
        peer.say(&messages);
        peer.receive();
    }
    all_is_well(&mut cluster, &client, "messages");
    cluster.wait_for_workers(1);
    cluster.stop();
}

/// A worker may speak of its own attempts only, whoever it says it is and however often it says it.
fn words_about_the_attempts_of_others(mode: Mode) {
    let mut cluster = cluster(Layout::new(mode).slots(2), &["hello", "sleep"]);
    let client = cluster.client();
    // All of the lies are to be told while it runs.
    let Sleepers { tasks, views, milliseconds } = Sleepers::start(&client, 1, 16_000);
    let (task, running) = (&tasks[0], &views[0]);
    let honest: WorkerId = running["worker_id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
    let id = AttemptId { task: task.parse().expect("an id"), attempt: 1 };
    let next = AttemptId { attempt: 2, ..id };
    let forged = || ToDispatcher::Ended { id, report: success(&json!("forged")) };
    let lies: Vec<Vec<ToDispatcher>> = vec![
        vec![forged()],
        vec![hello(worker_id(7), Vec::new(), mode), forged()],
        vec![hello(worker_id(8), vec![id, next], mode), forged(), ToDispatcher::Started { id: next, at_ms: 0 }],
        // Under the name of the one that has it: only the process itself knows its token.
        vec![hello(honest, vec![id], mode), forged(), forged()],
        vec![hello(honest, Vec::new(), mode), ToDispatcher::Goodbye],
    ];
    let peers: Vec<Peer> = lies
        .iter()
        .map(|messages| {
            let peer = Peer::greeted(&cluster);
            // Said again, as a recording would be.
            peer.say(messages);
            peer.say(messages);
            peer.receive();
            peer
        })
        .collect();
    let now = view(&client, task);
    for same in ["status", "attempt", "worker_id", "started_at"] {
        assert_eq!(now[same], running[same], "{same} of {now}");
    }
    drop(peers);
    let after = completed(&client, task, &json!(milliseconds));
    assert_eq!((&after["attempt"], &after["worker_id"]), (&json!(1), &running["worker_id"]), "{after}");
    all_is_well(&mut cluster, &client, "lies");
    cluster.stop();
}

/// A worker that takes tasks, says nonsense about them and goes away costs them an attempt and no more.
fn a_worker_that_takes_and_leaves(mode: Mode) {
    let mut cluster = cluster(Layout::new(mode), &["hello", "sleep"]);
    let client = cluster.client();
    // The honest worker is busy, so the other gets what comes.
    let busy = Sleepers::start(&client, 1, 6000);
    let peer = Peer::greeted(&cluster);
    peer.say(&[hello(worker_id(9), Vec::new(), mode), ToDispatcher::Ready { count: 4 }]);
    cluster.wait_for_workers(2);
    let tasks: Vec<String> =
        (0..4).map(|number| client.submit(&json!({"function": "hello", "args": [number.to_string()]}))).collect();
    // Whatever it was given, it says about all of them what it likes.
    let said: Vec<ToDispatcher> = tasks
        .iter()
        .map(|task| AttemptId { task: task.parse().expect("an id"), attempt: 1 })
        .flat_map(|id| [ToDispatcher::Started { id, at_ms: 0 }, ToDispatcher::Started { id, at_ms: u64::MAX }])
        .collect();
    let mut frames = 0;
    while peer.receive().is_some() && frames < 3 {
        peer.say(&said);
        frames += 1;
    }
    drop(peer);
    for (number, task) in tasks.iter().enumerate() {
        let view = completed(&client, task, &json!(format!("Hello, {number}!")));
        assert!(view["attempt"].as_u64().is_some_and(|attempt| attempt <= 2), "{view}");
    }
    completed(&client, &busy.tasks[0], &json!(busy.milliseconds));
    bulkhead_tests::eventually_within(Duration::from_secs(60), "it is forgotten", || {
        let joined = cluster.joined();
        if joined.len() == 1 { Ok(()) } else { Err(format!("{joined:?}")) }
    });
    all_is_well(&mut cluster, &client, "a thief");
    cluster.stop();
}
