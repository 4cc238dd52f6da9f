//! What the embedded store keeps when its process is killed, and when the disk refuses to write.
//! Both need a process of their own: the test binary runs itself, told by a variable to play a part.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bulkhead_protocol::id::TaskId;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::contract::{Choices, WORKER, success, task};
use super::{Error, Store, Submitted, Transition};

/// Set for a process that plays a part: the data folder.
const FOLDER: &str = "BULKHEAD_STORE_TEST_FOLDER";

/// This binary, running only `part` on `folder`.
fn play(part: &str, folder: &Path) -> Child {
    let (_, module) = module_path!().split_once("::").unwrap();
    // A write beyond the limit on file sizes must fail rather than kill; what is ignored before
    // an exec stays ignored.
    Command::new("sh")
        .args(["-c", r#"trap "" XFSZ; exec "$0" "$@""#])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", &format!("{module}::{part}")])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The folder, when this process plays a part.
fn folder() -> Option<std::path::PathBuf> {
    std::env::var_os(FOLDER).map(Into::into)
}

/// Tells the parent of an acknowledgement, in one write so that a kill cuts no line in two.
fn tell(line: String) {
    std::io::stdout().write_all((line + "\n").as_bytes()).unwrap();
}

/// Part: submits and ends tasks until killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn busy_server() {
    let Some(folder) = folder() else { return };
    let store = Store::open_embedded(&folder).await.unwrap();
    for function in 0..16 {
        let store = store.clone();
        tokio::spawn(async move {
            loop {
                let task = task(function);
                let id = task.id;
                assert_eq!(store.submit(vec![task]).await.unwrap(), [Submitted::Stored]);
                tell(format!("stored {id}"));
            }
        });
    }
    loop {
        for claimed in store.claim(8).await.unwrap() {
            let store = store.clone();
            tokio::spawn(async move {
                let (id, attempt) = (claimed.task.id, claimed.state.attempt + 1);
                assert_eq!(store.started(id, attempt, WORKER, 1).await.unwrap(), Transition::Applied);
                let report = success(format!("{id} {attempt}").as_bytes());
                assert_eq!(store.finish(id, attempt, report, false, 2).await.unwrap(), Transition::Applied);
                tell(format!("ended {id} {attempt}"));
            });
        }
    }
}

/// Lets a server work until it acknowledged `kill_after` times, kills it, and adds what it
/// acknowledged.
fn kill_a_busy_server(
    folder: &Path,
    kill_after: u64,
    stored: &mut HashSet<TaskId>,
    ended: &mut HashMap<TaskId, String>,
) {
    let mut server = play("busy_server", folder);
    let mut acknowledged = 0;
    for line in BufReader::new(server.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let Some((what, rest)) = line.split_once(' ') else { continue };
        let Ok(id) = rest.split(' ').next().unwrap().parse() else { continue };
        match what {
            "stored" => assert!(stored.insert(id)),
            "ended" => assert_eq!(ended.insert(id, rest.to_owned()), None, "{id} ended twice"),
            _ => continue,
        }
        acknowledged += 1;
        if acknowledged == kill_after {
            // What it still says was acknowledged all the same: read on to the end.
            server.kill().unwrap();
        }
    }
    server.wait().unwrap();
    assert!(acknowledged >= kill_after, "the server ended by itself");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9() {
    const ROUNDS: u32 = 10;
    let mut choices = Choices::new();
    let folder = tempfile::tempdir().unwrap();
    let (mut stored, mut ended) = (HashSet::new(), HashMap::new());
    for round in 0..ROUNDS {
        kill_a_busy_server(folder.path(), 1 + choices.below(3000), &mut stored, &mut ended);
        let store = Store::open_embedded(folder.path()).await.unwrap();
        let mut waiting = 0;
        for id in &stored {
            let state = store.state(*id).await.unwrap();
            let state = state.unwrap_or_else(|| panic!("round {round}: {id} was acknowledged and is gone"));
            match (ended.get(id), state.status.is_terminal()) {
                (Some(end), true) => {
                    assert_eq!(store.result(*id).await.unwrap().unwrap(), end.as_bytes(), "round {round}");
                }
                (Some(_), false) => panic!("round {round}: the end of {id} was acknowledged and is gone"),
                // Its end was committed but the kill came before the acknowledgement.
                (None, true) => {}
                (None, false) => waiting += 1,
            }
        }
        let queued = store.queued().await.unwrap();
        assert!(queued >= waiting, "round {round}: {waiting} wait, {queued} are queued");
        store.close().await.unwrap();
    }
    assert!(!ended.is_empty());
}

/// Part: a server whose disk is full for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_without_room() {
    let Some(folder) = folder() else { return };
    let store = Store::open_embedded(&folder).await.unwrap();
    let [before, meanwhile, after] = [task(1), task(1), task(1)];
    store.submit(vec![before.clone()]).await.unwrap();
    let (_, most) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, 4096, most).unwrap();
    for _ in 0..3 {
        let refused = store.submit(vec![meanwhile.clone()]).await;
        assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
        let refused = store.finish(before.id, 1, success(b""), false, 1).await;
        assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
    }
    setrlimit(Resource::RLIMIT_FSIZE, most, most).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = store.submit(vec![after.clone()]).await {
        assert!(Instant::now() < deadline, "{error}");
        tokio::task::yield_now().await;
    }
    assert_eq!(store.state(meanwhile.id).await.unwrap(), None);
    assert_eq!(store.queued().await.unwrap(), 2);
    for expected in [before.id, after.id] {
        assert_eq!(store.claim(1).await.unwrap()[0].task.id, expected);
        assert_eq!(store.finish(expected, 1, success(b""), false, 1).await.unwrap(), Transition::Applied);
    }
    store.close().await.unwrap();
    let store = Store::open_embedded(&folder).await.unwrap();
    assert!(store.state(after.id).await.unwrap().unwrap().status.is_terminal());
}

#[test]
fn a_full_disk_is_an_error_and_passes() {
    let folder = tempfile::tempdir().unwrap();
    let output = play("server_without_room", folder.path()).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "the part was not found");
}
