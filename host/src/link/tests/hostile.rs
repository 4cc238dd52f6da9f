//! Peers that break the rules end their own connection and nothing else.

use std::io::{Read, Write};

use bulkhead_protocol::codec;
use bulkhead_protocol::id::WorkerId;
use bulkhead_protocol::worker_message::{
    GreetingKind, Hello, MAX_BATCH_MESSAGES, MAX_FRAME_BYTES, MAX_WORKER_NAME_BYTES, WorkerMode,
};

use super::bounds::{GREETING_TIME, MAX_GREETING};
use super::*;

/// Shows that the router still serves a worker that was there all along, and a new one.
struct Witness {
    dealer: Dealer,
    events: Events<DealerEvent>,
    peer: PeerId,
}

impl Witness {
    async fn new(router: &Router, peers: &mut Events<PeerEvent>, key: Option<&JoinKey>) -> Self {
        let (dealer, events) = connect(router, key).await;
        Self { dealer, events, peer: opened(peers).await }
    }

    async fn check(&mut self, router: &Router, peers: &mut Events<PeerEvent>, key: Option<&JoinKey>) {
        self.dealer.send(vec![ended(1, 1000)]).unwrap();
        assert_eq!(heard(peers, self.peer).await, [ended(1, 1000)]);
        router.send(self.peer, vec![ToWorker::Drain]).unwrap();
        assert_eq!(told(&mut self.events).await, [ToWorker::Drain]);
        let new = Self::new(router, peers, key).await;
        within(new.dealer.close()).await;
        closed(peers, new.peer).await;
    }
}

/// Not random enough for anything but tests; prints nothing, as its seed is fixed.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        // xorshift64, Marsaglia 2003.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        let length = self.next() % (most + 1);
        (0..length).map(|_| self.next() as u8).collect()
    }
}

#[tokio::test]
async fn ten_thousand_random_frames_change_nothing() {
    for key in [None, Some(key())] {
        let (router, mut peers) = bind(key.as_ref(), RouterBounds::default());
        let mut witness = Witness::new(&router, &mut peers, key.as_ref()).await;
        let mut noise = Noise(0x5EED);
        let stranger = RawPeer::connect(&router.address());
        for _ in 0..10_000 {
            let frame = noise.bytes(300);
            // Nobody reads the answers, so that they pile up as well.
            stranger.send(frame, 0).unwrap();
        }
        witness.check(&router, &mut peers, key.as_ref()).await;
        // The first of these ends it; what follows is a stranger's.
        let mut known = RawPeer::open(&router.address(), key.as_ref());
        let peer = opened(&mut peers).await;
        for _ in 0..1_000 {
            known.socket.send(noise.bytes(300), 0).unwrap();
        }
        assert!(matches!(closed(&mut peers, peer).await, CloseReason::Violation(_)));
        known.send(frame::ready());
        witness.check(&router, &mut peers, key.as_ref()).await;
    }
}

#[tokio::test]
async fn other_protocols_at_the_port_change_nothing() {
    let (router, mut peers) = bind(Some(&key()), RouterBounds::default());
    let mut witness = Witness::new(&router, &mut peers, Some(&key())).await;
    let address = router.address().strip_prefix("tcp://").unwrap().to_owned();
    let mut noise = Noise(0x5EED);
    let mut others = Vec::new();
    // A head of ZMTP 3.0 that says a length of 2^63 bytes comes.
    let mut zmtp = b"\xFF\0\0\0\0\0\0\0\x01\x7F\x03\0NULL".to_vec();
    zmtp.resize(64, 0);
    zmtp.extend_from_slice(b"\x02\x80\0\0\0\0\0\0\0");
    let mut said = vec![b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), zmtp, vec![0xFF; 100], vec![0; 100]];
    said.extend((0..100).map(|_| noise.bytes(2000)));
    for bytes in said {
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        // It may have hung up already.
        let _ = stream.write_all(&bytes);
        others.push(stream);
    }
    witness.check(&router, &mut peers, Some(&key())).await;
    // The web client is not left waiting for more than ZMTP's own handshake may take.
    let mut web = others.swap_remove(0);
    web.set_read_timeout(Some(DEADLINE)).unwrap();
    let ended = tokio::task::spawn_blocking(move || web.read_to_end(&mut Vec::new()));
    let _ = within(ended).await.unwrap();
    witness.check(&router, &mut peers, Some(&key())).await;
}

#[tokio::test]
async fn a_worker_that_breaks_a_rule_is_closed_with_its_name() {
    for key in [None, Some(key())] {
        let (router, mut peers) = bind(key.as_ref(), RouterBounds::default());
        let mut witness = Witness::new(&router, &mut peers, key.as_ref()).await;
        let too_many = codec::encode(&vec![ToDispatcher::Heartbeat; MAX_BATCH_MESSAGES + 1]).unwrap();
        let hello = Hello {
            worker: WorkerId(Uuid::from_u128(1)),
            token: [0; 16],
            name: "n".repeat(MAX_WORKER_NAME_BYTES + 1),
            mode: WorkerMode::Pull,
            slots: 1,
            in_hand: Vec::new(),
        };
        let name_too_long = codec::encode(&vec![ToDispatcher::Hello(hello)]).unwrap();
        // A list of one message whose text claims 2^63 bytes.
        let huge =
            [1, 5, 16].into_iter().chain([0; 16]).chain([1, 0, 0, 0, 0, 0, 0, 0, 0, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0x80]);
        let claim = [&[1][..], &u32::MAX.to_le_bytes(), &[0; 100]].concat();
        let rules: [(&str, Vec<u8>); 8] = [
            ("no head", vec![0, 1]),
            ("an unknown kind", vec![9, 0, 0, 0, 0]),
            ("a second first word", frame::ready()),
            ("not a list", frame::whole(&[0xFF; 20])),
            ("too many messages", frame::whole(&too_many)),
            ("a name too long", frame::whole(&name_too_long)),
            ("a claimed length", frame::whole(&huge.collect::<Vec<u8>>())),
            ("a claimed batch", claim),
        ];
        for (what, bytes) in rules {
            let mut raw = RawPeer::open(&router.address(), key.as_ref());
            let peer = opened(&mut peers).await;
            raw.send(bytes);
            let reason = closed(&mut peers, peer).await;
            assert!(matches!(reason, CloseReason::Violation(_)), "{what}: {reason}");
            assert_eq!(greeting(&raw.socket).kind, GreetingKind::Closed, "{what}");
        }
        let mut raw = RawPeer::open(&router.address(), key.as_ref());
        let peer = opened(&mut peers).await;
        let sealed = raw.session.seal(frame::whole(&[0])).unwrap();
        raw.socket.send_multipart([sealed, b"and more".to_vec()], 0).unwrap();
        // The gate of a sealed link ends such a connection before the rest has come.
        let expected = if key.is_some() { CloseReason::Lost } else { Violation::Multipart.into() };
        assert_eq!(closed(&mut peers, peer).await, expected);

        // libzmq itself hangs up on a frame that is too long, unread.
        let mut raw = RawPeer::open(&router.address(), key.as_ref());
        let peer = opened(&mut peers).await;
        raw.send(vec![0; 2 * MAX_FRAME_BYTES]);
        assert_eq!(closed(&mut peers, peer).await, CloseReason::Lost);
        witness.check(&router, &mut peers, key.as_ref()).await;
    }
}

#[tokio::test]
async fn sealed_frames_that_are_cut_or_said_again_end_the_connection() {
    let key = Some(key());
    let (router, mut peers) = bind(key.as_ref(), RouterBounds::default());
    let mut witness = Witness::new(&router, &mut peers, key.as_ref()).await;
    let batch = frame::whole(&codec::encode(&vec![ended(1, 100_000)]).unwrap());
    let refused = async |tamper: &dyn Fn(&[u8]) -> Vec<Vec<u8>>, peers: &mut Events<PeerEvent>, heard_first: bool| {
        let mut raw = RawPeer::open(&router.address(), key.as_ref());
        let peer = opened(peers).await;
        let sealed = raw.session.seal(batch.clone()).unwrap();
        for frame in tamper(&sealed) {
            raw.socket.send(frame, 0).unwrap();
        }
        if heard_first {
            assert_eq!(heard(peers, peer).await.len(), 1);
        }
        closed(peers, peer).await
    };
    let seal = CloseReason::Violation(Violation::Seal);
    assert_eq!(refused(&|sealed| vec![sealed.to_vec(), sealed.to_vec()], &mut peers, true).await, seal);
    assert_eq!(refused(&|sealed| vec![sealed[..sealed.len() - 1].to_vec()], &mut peers, false).await, seal);
    // Cut between two records: each of those left opens, but the batch is too short.
    let cut = refused(&|sealed| vec![sealed[..65_535].to_vec()], &mut peers, false).await;
    assert!(matches!(cut, CloseReason::Violation(Violation::FragmentLength { .. })), "{cut}");
    // Unsealed on a sealed link.
    assert_eq!(refused(&|_| vec![batch.clone()], &mut peers, false).await, seal);

    // What one connection said is nothing on another.
    let mut first = RawPeer::open(&router.address(), key.as_ref());
    opened(&mut peers).await;
    let said = first.session.seal(batch.clone()).unwrap();
    let second = RawPeer::open(&router.address(), key.as_ref());
    let peer = opened(&mut peers).await;
    second.socket.send(said, 0).unwrap();
    assert_eq!(closed(&mut peers, peer).await, seal);
    witness.check(&router, &mut peers, key.as_ref()).await;
}

#[tokio::test]
async fn a_recorded_greeting_opens_nothing() {
    let key = Some(key());
    let (router, mut peers) = bind(key.as_ref(), RouterBounds::default());
    let (_, recorded) = Introduction::begin(key.as_ref()).unwrap();
    let replay = || {
        let socket = RawPeer::connect(&router.address());
        socket.send(recorded.as_slice(), 0).unwrap();
        assert_eq!(greeting(&socket).kind, GreetingKind::Sealed);
        socket
    };
    // Who has only the recording cannot say a word.
    let socket = replay();
    socket.send(vec![0; 21], 0).unwrap();
    assert_eq!(greeting(&socket).kind, GreetingKind::Closed);
    // The oldest of too many is dropped at once, the others when their time is over.
    let sockets: Vec<zmq::Socket> = (0..=MAX_GREETING).map(|_| replay()).collect();
    assert_eq!(greeting(&sockets[0]).kind, GreetingKind::Closed);
    // Workers come in all the while, and the layer above hears of nobody else.
    let mut witness = Witness::new(&router, &mut peers, key.as_ref()).await;
    witness.check(&router, &mut peers, key.as_ref()).await;
    assert!(GREETING_TIME < DEADLINE);
    assert_eq!(greeting(&sockets[MAX_GREETING]).kind, GreetingKind::Closed);
    witness.check(&router, &mut peers, key.as_ref()).await;
}

#[tokio::test]
async fn a_dispatcher_that_breaks_a_rule_is_left() {
    let whole = frame::whole(&codec::encode(&vec![ToWorker::Refused { reason: "r".repeat(70_000) }]).unwrap());
    for bytes in [vec![0, 1], frame::ready(), whole, frame::whole(&[0xFF; 20])] {
        let socket = zmq::Context::new().socket(zmq::ROUTER).unwrap();
        socket.bind("tcp://127.0.0.1:*").unwrap();
        let address = socket.get_last_endpoint().unwrap().unwrap().parse().unwrap();
        let dispatcher = std::thread::spawn(move || {
            let [worker, said]: [Vec<u8>; 2] = socket.recv_multipart(0).unwrap().try_into().unwrap();
            let session::Answer::Accepted { reply, .. } = session::answer(&said, None, true) else { panic!() };
            // An empty frame may come at any time.
            socket.send_multipart([worker.clone(), Vec::new()], 0).unwrap();
            socket.send_multipart([worker.clone(), reply], 0).unwrap();
            socket.send_multipart([worker, bytes], 0).unwrap();
            socket
        });
        let (_dealer, mut events) = connect_to(&address, None).await;
        let reason = parted(&mut events).await;
        assert!(matches!(reason, CloseReason::Violation(_)), "{reason}");
        drop(dispatcher.join().unwrap());
    }
}

/// A connection in ZMTP 3, without libzmq.
fn raw_zmtp(address: &str) -> std::net::TcpStream {
    let mut stream = std::net::TcpStream::connect(address.strip_prefix("tcp://").unwrap()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut greeting = b"\xFF\0\0\0\0\0\0\0\x01\x7F\x03\0NULL".to_vec();
    greeting.resize(64, 0);
    stream.write_all(&greeting).unwrap();
    stream.read_exact(&mut [0; 64]).unwrap();
    stream.write_all(b"\x04\x1c\x05READY\x0bSocket-Type\0\0\0\x06DEALER").unwrap();
    // Its own command: two bytes of head, then as many as the second says.
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    stream.read_exact(&mut vec![0; usize::from(head[1])]).unwrap();
    stream
}

/// What comes until the connection is ended by the other side, which it must be.
fn rest(mut stream: std::net::TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("{error}"),
        _ => rest,
    }
}

#[tokio::test]
async fn a_sealed_link_ends_the_connections_of_those_who_are_no_workers() {
    let key = Some(key());
    let (router, mut peers) = bind(key.as_ref(), RouterBounds::default());
    let mut witness = Witness::new(&router, &mut peers, key.as_ref()).await;

    // A message without an end, of which libzmq would hold all there is.
    let mut stream = raw_zmtp(&router.address());
    let frame = [&[3][..], &200_000u64.to_be_bytes(), &[7; 200_000]].concat();
    let written = (0..1000).take_while(|_| stream.write_all(&frame).is_ok()).count();
    assert!(written < 1000, "a message of {written} frames was taken");

    // One that is refused: it hears why, and then the connection ends.
    let mut stream = raw_zmtp(&router.address());
    let greeting = Greeting::new(GreetingKind::Plain, Vec::new()).to_bytes();
    stream.write_all(&[&[0, u8::try_from(greeting.len()).unwrap()], &greeting[..]].concat()).unwrap();
    let said = tokio::task::spawn_blocking(move || rest(stream));
    let said = within(said).await.unwrap();
    assert_eq!(said[..2], [0, 7]);
    assert_eq!(Greeting::from_bytes(&said[2..]).unwrap().kind, GreetingKind::KeyNeeded);

    // One that never says anything.
    let stream = raw_zmtp(&router.address());
    let said = tokio::task::spawn_blocking(move || rest(stream));
    assert_eq!(within(said).await.unwrap(), b"");
    witness.check(&router, &mut peers, key.as_ref()).await;
}

#[tokio::test]
async fn connections_of_a_sealed_link_are_bounded() {
    let key = Some(key());
    let (router, mut peers) = bind(key.as_ref(), RouterBounds { peers: 1, ..RouterBounds::default() });
    let address = router.address();
    let open: Vec<_> = (0..1 + gate::STRANGERS).map(|_| raw_zmtp(&address)).collect();
    let one_more = std::net::TcpStream::connect(address.strip_prefix("tcp://").unwrap()).unwrap();
    one_more.set_read_timeout(Some(DEADLINE)).unwrap();
    let said = tokio::task::spawn_blocking(move || rest(one_more));
    assert_eq!(within(said).await.unwrap(), b"");
    drop(open);
    // As soon as it is known that they are gone.
    let connected = within(async {
        loop {
            match Dealer::connect(&endpoint(&router), key.as_ref(), DEADLINE).await {
                Ok(connected) => return connected,
                Err(ConnectError::Dropped) => {}
                Err(error) => panic!("{error}"),
            }
        }
    });
    let _dealer = connected.await;
    opened(&mut peers).await;
}
