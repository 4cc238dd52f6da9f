//! Functions, versions, aliases, packages.

use bulkhead_protocol::function::{FunctionRef, Isolation};
use bulkhead_protocol::id::PackageId;
use bulkhead_protocol::limits::Limits;
use bulkhead_protocol::package::id_of;
use bytes::Bytes;

use super::Fixture;
use crate::store::{Error, NewFunction, Store, Transition};

async fn package(store: &Store, content: &'static [u8]) -> PackageId {
    let id = id_of(content);
    store.put_package(id, Bytes::from_static(content)).await.unwrap();
    id
}

fn new(name: &str, package: PackageId) -> NewFunction {
    NewFunction {
        name: name.to_owned(),
        package,
        index: 0,
        entry: "main".to_owned(),
        limits: Limits::default(),
        isolation: Isolation::Fresh,
        description: "{}".to_owned(),
        registered_at_ms: 5,
    }
}

async fn register(store: &Store, name: &str, content: &'static [u8]) -> crate::store::Registered {
    let package = package(store, content).await;
    store.register(vec![new(name, package)]).await.unwrap().remove(0)
}

async fn version_of(store: &Store, reference: &str) -> Option<u32> {
    let reference: FunctionRef = reference.parse().unwrap();
    store.resolve(&reference).await.unwrap().map(|function| function.version)
}

pub(super) async fn versions_count_up_and_the_same_entry_is_no_new_version(fixture: Fixture) {
    let store = &fixture.store;
    let first = register(store, "f", b"one").await;
    assert!(first.created);
    assert_eq!(first.function.version, 1);
    let again = register(store, "f", b"one").await;
    assert!(!again.created);
    assert_eq!(again.function.id, first.function.id);
    let second = register(store, "f", b"two").await;
    assert_eq!((second.created, second.function.version), (true, 2));
    // Only the newest version counts: going back is a new version.
    let third = register(store, "f", b"one").await;
    assert_eq!((third.created, third.function.version), (true, 3));
    let versions: Vec<u32> = store.versions("f").await.unwrap().iter().map(|function| function.version).collect();
    assert_eq!(versions, [3, 2, 1]);
    assert!(store.versions("g").await.unwrap().is_empty());
}

pub(super) async fn several_functions_are_registered_together_or_not_at_all(fixture: Fixture) {
    let store = &fixture.store;
    let stored = package(store, b"one").await;
    let missing = id_of(b"never stored");
    let refused = store.register(vec![new("a", stored), new("b", missing)]).await;
    assert!(matches!(refused, Err(Error::Unavailable { .. })));
    assert_eq!(version_of(store, "a").await, None);
    let other = NewFunction { entry: "other".to_owned(), ..new("a", stored) };
    let registered = store.register(vec![new("a", stored), new("b", stored), other]).await.unwrap();
    let versions: Vec<u32> = registered.iter().map(|registered| registered.function.version).collect();
    assert_eq!(versions, [1, 1, 2]);
}

pub(super) async fn references_resolve(fixture: Fixture) {
    let store = &fixture.store;
    let first = register(store, "f", b"one").await.function;
    register(store, "f", b"two").await;
    assert_eq!(store.set_alias("f", "prod", 1).await.unwrap(), Transition::Applied);
    assert_eq!(version_of(store, "f").await, Some(2));
    assert_eq!(version_of(store, "f@1").await, Some(1));
    assert_eq!(version_of(store, "f:prod").await, Some(1));
    assert_eq!(version_of(store, &first.id.to_string()).await, Some(1));
    for unknown in ["g", "f@3", "f:test", "67e55044-10b1-426f-9247-bb680e5fe0c8"] {
        assert_eq!(version_of(store, unknown).await, None, "{unknown} was found");
    }
    assert_eq!(store.function(first.id).await.unwrap(), Some(first));
    assert_eq!(store.set_alias("f", "prod", 2).await.unwrap(), Transition::Applied);
    assert_eq!(version_of(store, "f:prod").await, Some(2));
    assert_eq!(store.set_alias("f", "prod", 3).await.unwrap(), Transition::Stale);
    assert_eq!(store.set_alias("g", "prod", 1).await.unwrap(), Transition::Stale);
    assert_eq!(store.aliases("f").await.unwrap(), [("prod".to_owned(), 2)]);
}

pub(super) async fn removal_takes_aliases_and_package_but_no_number_comes_twice(mut fixture: Fixture) {
    let store = &fixture.store;
    let (shared, lone) = (id_of(b"one"), id_of(b"two"));
    let first = register(store, "f", b"one").await.function;
    let second = register(store, "f", b"two").await.function;
    let other = register(store, "g", b"one").await.function;
    store.set_alias("f", "old", 1).await.unwrap();
    store.set_alias("f", "new", 2).await.unwrap();
    assert!(store.remove_function(second.id).await.unwrap());
    assert!(!store.remove_function(second.id).await.unwrap());
    assert_eq!(store.aliases("f").await.unwrap(), [("old".to_owned(), 1)]);
    assert_eq!(store.function(second.id).await.unwrap(), None);
    assert_eq!(store.package(lone).await.unwrap(), None);
    assert!(store.remove_function(first.id).await.unwrap());
    assert!(store.package(shared).await.unwrap().is_some(), "g still uses it");
    assert!(store.versions("f").await.unwrap().is_empty());
    fixture.reopen().await;
    let store = &fixture.store;
    assert_eq!(register(store, "f", b"two").await.function.version, 3);
    assert!(store.remove_function(other.id).await.unwrap());
    assert_eq!(store.package(shared).await.unwrap(), None);
}

pub(super) async fn a_package_waits_for_its_registration(mut fixture: Fixture) {
    let store = &fixture.store;
    let first = register(store, "f", b"one").await.function;
    // Another client stores the same package just before its last function goes.
    let id = package(store, b"one").await;
    assert!(store.remove_function(first.id).await.unwrap());
    let again = store.register(vec![new("g", id)]).await.unwrap().remove(0).function;
    assert_eq!(store.package(id).await.unwrap().unwrap(), b"one".as_slice());
    let orphan = package(store, b"never registered").await;
    fixture.reopen().await;
    assert_eq!(fixture.store.package(orphan).await.unwrap(), None, "nothing will ever use it");
    assert!(fixture.store.remove_function(again.id).await.unwrap());
    assert_eq!(fixture.store.package(id).await.unwrap(), None);
}

pub(super) async fn names_are_paged(fixture: Fixture) {
    let store = &fixture.store;
    for name in ["c", "a", "b"] {
        register(store, name, b"one").await;
    }
    let removed = register(store, "bb", b"one").await.function;
    store.remove_function(removed.id).await.unwrap();
    let names = |functions: Vec<std::sync::Arc<bulkhead_protocol::function::Function>>| {
        functions.iter().map(|function| function.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(store.functions(None, 2).await.unwrap()), ["a", "b"]);
    assert_eq!(names(store.functions(Some("b"), 2).await.unwrap()), ["c"]);
}

pub(super) async fn functions_outlive_a_restart(mut fixture: Fixture) {
    let first = register(&fixture.store, "f", b"one").await.function;
    fixture.store.set_alias("f", "prod", 1).await.unwrap();
    fixture.reopen().await;
    let store = &fixture.store;
    assert_eq!(store.function(first.id).await.unwrap(), Some(first));
    assert_eq!(version_of(store, "f:prod").await, Some(1));
    assert!(!register(store, "f", b"one").await.created);
}
