//! A cluster that loses the node with everything on it.

use super::{open, settings_at, submit, until_available};
use crate::store::Transition;
use crate::store::contract::redis_server::{cli, cluster_node, cluster_url, join_cluster};
use crate::store::contract::{success, task};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_killed_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let mut nodes: Vec<_> = (0..6).map(|number| cluster_node(&folder.path().join(number.to_string()))).collect();
    join_cluster(&nodes, 1);
    let settings = settings_at(&cluster_url(&nodes));
    let store = open(&settings).await;
    let [claimed, queued] = [submit(&store, task(1)).await, submit(&store, task(1)).await];
    assert_eq!(store.claim(1).await.unwrap()[0].task.id, claimed);
    let waiting = store.clone();
    let waiter = tokio::spawn(async move { waiting.wait(claimed, super::DEADLINE).await });
    // The first three are the masters; one of them has the namespace.
    let key = format!("{{{}}}:queued", settings.namespace);
    let has_it = |port: u16| {
        let output = std::process::Command::new("redis-cli").args(["-p", &port.to_string(), "GET", &key]).output();
        String::from_utf8_lossy(&output.unwrap().stdout).trim() == "1"
    };
    let owner = nodes.iter().position(|node| has_it(node.port)).expect("one of them has it");
    cli(&["-p", &nodes[owner].port.to_string()], &["WAIT", "1", "5000"], "1");
    drop(nodes.remove(owner));
    assert_eq!(until_available(async || store.queued().await).await, 1);
    let next = until_available(async || store.claim(5).await).await;
    assert_eq!(next[0].task.id, queued);
    let finish = async || store.finish(claimed, 1, success(b"kept"), false, 1).await;
    assert_eq!(until_available(finish).await, Transition::Applied);
    let state = tokio::time::timeout(super::DEADLINE, waiter).await.expect("woken").unwrap().unwrap().unwrap();
    assert!(state.status.is_terminal());
    assert_eq!(store.result(claimed).await.unwrap().unwrap(), b"kept".as_slice());
}
