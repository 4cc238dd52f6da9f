//! Each refusal has its name on both sides, and comes soon.

use bulkhead_protocol::worker_message::{GreetingKind, MAGIC, VERSION};

use super::*;

async fn refused(router: &Router, key: Option<&JoinKey>) -> ConnectError {
    refused_by(&endpoint(router), key).await
}

async fn refused_by(endpoint: &Endpoint, key: Option<&JoinKey>) -> ConnectError {
    within(Dealer::connect(endpoint, key, DEADLINE)).await.expect_err("it connected")
}

#[tokio::test]
async fn keys_that_do_not_match_are_refused_by_name() {
    let other = JoinKey::from_text("a key of somebody else").unwrap();
    let (sealed, mut sealed_peers) = bind(Some(&key()), RouterBounds::default());
    let (plain, mut plain_peers) = bind(None, RouterBounds::default());
    assert!(matches!(refused(&sealed, Some(&other)).await, ConnectError::WrongKey));
    assert!(matches!(refused(&sealed, None).await, ConnectError::KeyNeeded));
    assert!(matches!(refused(&plain, Some(&other)).await, ConnectError::KeyUnexpected));
    // The dispatcher goes on, and its layer above never heard of them.
    let _sealed = connect(&sealed, Some(&key())).await;
    opened(&mut sealed_peers).await;
    let _plain = connect(&plain, None).await;
    opened(&mut plain_peers).await;
}

#[tokio::test]
async fn another_version_is_refused_by_name_on_both_sides() {
    let (router, _peers) = bind(Some(&key()), RouterBounds::default());
    let newer = RawPeer::connect(&router.address());
    let bytes = [&MAGIC[..], &9u16.to_le_bytes(), &[200], b"whatever follows"].concat();
    newer.send(bytes, 0).unwrap();
    let answer = greeting(&newer);
    assert_eq!((answer.kind, answer.version), (GreetingKind::WrongVersion, VERSION));

    // A dispatcher of another version, which answers in a way that we may not know.
    for kind in [GreetingKind::WrongVersion as u8, 200] {
        let socket = zmq::Context::new().socket(zmq::ROUTER).unwrap();
        socket.bind("tcp://127.0.0.1:*").unwrap();
        let address = socket.get_last_endpoint().unwrap().unwrap().parse().unwrap();
        let dispatcher = std::thread::spawn(move || {
            let [worker, _]: [Vec<u8>; 2] = socket.recv_multipart(0).unwrap().try_into().unwrap();
            let answer = [&MAGIC[..], &9u16.to_le_bytes(), &[kind]].concat();
            socket.send_multipart([worker, answer], 0).unwrap();
            socket
        });
        let error = refused_by(&address, Some(&key())).await;
        assert!(matches!(error, ConnectError::WrongVersion { ours: VERSION, theirs: 9 }), "{error:?}");
        drop(dispatcher.join().unwrap());
    }
}

#[tokio::test]
async fn one_worker_more_than_the_bound_is_refused_until_one_leaves() {
    let (router, mut peers) = bind(None, RouterBounds { peers: 2, ..RouterBounds::default() });
    let (first, _first_events) = connect(&router, None).await;
    let first_peer = opened(&mut peers).await;
    let _second = connect(&router, None).await;
    opened(&mut peers).await;
    assert!(matches!(refused(&router, None).await, ConnectError::Full));
    within(first.close()).await;
    closed(&mut peers, first_peer).await;
    let _third = connect(&router, None).await;
    opened(&mut peers).await;
}

#[tokio::test]
async fn without_a_key_nothing_leaves_the_machine() {
    for address in ["tcp://0.0.0.0:0", "tcp://[::]:0"] {
        let error = Router::bind(&address.parse().unwrap(), None, RouterBounds::default()).unwrap_err();
        assert!(matches!(error, BindError::KeyNeeded { .. }), "{error:?}");
    }
    let error = refused_by(&"tcp://192.0.2.1:5555".parse().unwrap(), None).await;
    assert!(matches!(error, ConnectError::NotLoopback { .. }), "{error:?}");
    // With a key it may.
    let (router, _peers) =
        Router::bind(&"tcp://0.0.0.0:0".parse().unwrap(), Some(&key()), RouterBounds::default()).unwrap();
    assert!(router.address().starts_with("tcp://0.0.0.0:"), "{}", router.address());
    let port = endpoint(&router).port();
    assert_ne!(port, 0);
    let _dealer = connect_to(&format!("tcp://localhost:{port}").parse().unwrap(), Some(&key())).await;
}

#[tokio::test]
async fn an_address_in_use_is_named_and_free_again_after_shutdown() {
    let (router, _peers) = bind(None, RouterBounds::default());
    let address = endpoint(&router);
    let error = Router::bind(&address, None, RouterBounds::default()).unwrap_err();
    assert!(matches!(&error, BindError::InUse { endpoint } if *endpoint == address), "{error:?}");
    within(router.shutdown()).await;
    Router::bind(&address, None, RouterBounds::default()).unwrap();
    let error = Router::bind(&"tcp://192.0.2.1:0".parse().unwrap(), Some(&key()), RouterBounds::default()).unwrap_err();
    assert!(matches!(error, BindError::Unresolved { .. }), "{error:?}");
}

#[tokio::test]
async fn who_is_no_dispatcher_is_not_taken_for_one() {
    // Nobody: the port was free a moment ago.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let nobody = Endpoint::new(listener.local_addr().unwrap());
    drop(listener);
    let error = refused_by(&nobody, None).await;
    assert!(matches!(&error, ConnectError::Unreachable { endpoint } if *endpoint == nobody), "{error:?}");

    // Somebody who never says a word.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let endpoint = Endpoint::new(silent.local_addr().unwrap());
    let brief = Duration::from_millis(300);
    let error = within(Dealer::connect(&endpoint, None, brief)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout { within } if within == brief), "{error:?}");

    // Somebody who hangs up, and a web server.
    for answer in [&b""[..], b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"] {
        let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let endpoint = Endpoint::new(other.local_addr().unwrap());
        let served = tokio::spawn(async move {
            let (mut stream, _) = other.accept().await.unwrap();
            stream.write_all(answer).await.unwrap();
        });
        let error = refused_by(&endpoint, Some(&key())).await;
        assert!(matches!(error, ConnectError::NotOurs | ConnectError::Dropped), "{error:?}");
        served.await.unwrap();
    }

    // Something else that speaks ZMTP.
    let socket = zmq::Context::new().socket(zmq::ROUTER).unwrap();
    socket.bind("tcp://127.0.0.1:*").unwrap();
    let address = socket.get_last_endpoint().unwrap().unwrap().parse().unwrap();
    let other = std::thread::spawn(move || {
        let [worker, _]: [Vec<u8>; 2] = socket.recv_multipart(0).unwrap().try_into().unwrap();
        socket.send_multipart([worker, b"hello there".to_vec()], 0).unwrap();
        socket
    });
    assert!(matches!(refused_by(&address, None).await, ConnectError::NotOurs));
    drop(other.join().unwrap());
}

#[tokio::test]
async fn a_name_without_an_address_is_named() {
    let endpoint: Endpoint = "tcp://no-such-host.invalid:5555".parse().unwrap();
    let error = refused_by(&endpoint, None).await;
    assert!(matches!(error, ConnectError::Unresolved { .. }), "{error:?}");
    let error = Router::bind(&endpoint, None, RouterBounds::default()).unwrap_err();
    assert!(matches!(error, BindError::Unresolved { .. }), "{error:?}");
}
