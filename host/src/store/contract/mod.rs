//! What every backend must do, as tests that know only [`Store`]. A backend passes all of them by its name
//! in front of `contract!`.

mod concurrency;
mod functions;
mod listing;
mod outsiders;
mod queue;
pub(in crate::store) mod redis_server;
mod submission;
mod transitions;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bulkhead_protocol::id::{FunctionId, TaskId, WorkerId};
use bulkhead_protocol::outcome::{Logs, Outcome, Report, Usage};
use bulkhead_protocol::task::{Input, Priority, Task, TaskOptions};

use super::embedded::Settings;
use super::{Claimed, MAX_QUEUED, RedisSettings, Store, Submitted};

/// No test waits longer for what must come at once.
const DEADLINE: Duration = Duration::from_secs(60);

/// How long a claim waits that must find nothing: far longer than one takes that finds something.
const QUIET: Duration = Duration::from_millis(150);

/// Where attempts run.
pub(super) const WORKER: WorkerId = WorkerId(uuid::Uuid::from_u128(7));

/// A store and the means to open it again.
pub(super) struct Fixture {
    pub(super) store: Store,
    place: Place,
    max_queued: usize,
}

/// Where the store of a fixture is.
enum Place {
    /// In a folder.
    Folder(tempfile::TempDir),
    /// At a URL, in a namespace of its own.
    Redis(String),
}

impl Fixture {
    async fn embedded() -> Self {
        Self::open(Place::Folder(tempfile::tempdir().unwrap())).await
    }

    async fn redis() -> Self {
        Self::open(Place::Redis(redis_server::shared())).await
    }

    async fn redis_cluster() -> Self {
        Self::open(Place::Redis(redis_server::shared_cluster())).await
    }

    async fn open(place: Place) -> Self {
        let place = match place {
            Place::Redis(url) => Place::Redis(format!("{url}?namespace=t-{}", uuid::Uuid::new_v4())),
            folder => folder,
        };
        let store = place.open(MAX_QUEUED).await;
        Self { store, place, max_queued: MAX_QUEUED }
    }

    /// Closes the store and opens it again, as a restart of the server does.
    async fn reopen(&mut self) {
        self.store.close().await.unwrap();
        self.store = self.place.open(self.max_queued).await;
    }

    async fn with_max_queued(mut self, max_queued: usize) -> Self {
        self.max_queued = max_queued;
        self.reopen().await;
        self
    }
}

impl Place {
    async fn open(&self, max_queued: usize) -> Store {
        match self {
            Self::Folder(folder) => Store::open_embedded_with(folder.path(), Settings { max_queued }).await.unwrap(),
            Self::Redis(url) => {
                Store::open_redis(RedisSettings { max_queued, ..RedisSettings::new(url) }).await.unwrap()
            }
        }
    }
}

macro_rules! contract {
    ([$($backend:ident)+] $tests:tt) => {
        $(contract!($backend $tests);)+
    };
    ($backend:ident { $($module:ident { $($test:ident)+ })+ }) => {
        mod $backend {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    let fixture = super::Fixture::$backend().await;
                    let test = super::$module::$test(fixture);
                    tokio::time::timeout(super::DEADLINE, test).await.expect("done before the deadline");
                }
            )+)+
        }
    };
}

contract!([embedded redis redis_cluster] {
    functions {
        versions_count_up_and_the_same_entry_is_no_new_version
        several_functions_are_registered_together_or_not_at_all
        references_resolve
        removal_takes_aliases_and_package_but_no_number_comes_twice
        a_package_waits_for_its_registration
        names_are_paged
        functions_outlive_a_restart
    }
    submission {
        a_stored_task_reads_back
        large_payloads_read_back
        an_idempotency_key_is_one_task
        an_idempotency_key_is_free_after_its_window
        the_queue_has_a_bound
        an_adopted_task_runs
        everything_outlives_a_restart
    }
    queue {
        claims_go_by_priority_and_take_turns
        a_claim_is_not_repeated
        a_claim_waits_and_wakes
        a_dropped_claim_loses_nothing
        a_delayed_task_waits_for_its_time
        a_long_queue_is_handed_out_in_order
    }
    transitions {
        only_the_newest_attempt_ends_a_task
        an_attempt_that_was_requeued_is_stale
        a_requeued_task_comes_again
        cancelling_depends_on_how_far_the_task_has_come
        an_attempt_may_outlive_the_server
        a_claim_tells_which_attempt_was_cut_off
        all_who_wait_are_woken
        an_end_comes_with_its_result
        results_and_logs
    }
    listing {
        filters_narrow_a_listing
        pages_follow_each_other
        ended_tasks_expire
    }
    concurrency {
        racing_changes_end_each_task_once
        an_end_is_never_missed
    }
    outsiders {
        what_was_spent_and_where_it_ran_reads_back
        a_worker_brings_its_attempt_back
        a_wish_to_cancel_outlives_the_attempt
        dead_letters_are_listed_by_themselves
        workers_are_listed
        progress_is_kept_until_the_end
    }
});

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn function_id(number: u128) -> FunctionId {
    FunctionId(uuid::Uuid::from_u128(number))
}

/// A task of a function, submitted now.
pub(super) fn task(function: u128) -> Task {
    Task {
        id: TaskId(uuid::Uuid::now_v7()),
        function: function_id(function),
        function_name: format!("f{function}"),
        input: Input { bytes: b"[1]".to_vec(), ..Input::default() },
        options: TaskOptions { labels: BTreeMap::new(), ..TaskOptions::default() },
        submitted_at_ms: now_ms(),
    }
}

fn with_priority(priority: Priority, mut task: Task) -> Task {
    task.options.priority = priority;
    task
}

async fn submit(store: &Store, task: Task) -> TaskId {
    let id = task.id;
    assert_eq!(store.submit(vec![task]).await.unwrap(), [Submitted::Stored]);
    id
}

async fn claim_one(store: &Store) -> Claimed {
    let mut claimed = store.claim(1).await.unwrap();
    assert_eq!(claimed.len(), 1);
    claimed.remove(0)
}

/// Whether nothing can be claimed now.
async fn nothing_to_claim(store: &Store) -> bool {
    tokio::time::timeout(QUIET, store.claim(1)).await.is_err()
}

pub(super) fn success(result: &[u8]) -> Arc<Report> {
    let usage = Usage { wall_us: 7, ..Usage::default() };
    Arc::new(Report { outcome: Outcome::Succeeded, usage, logs: Logs::default(), result: result.to_vec() })
}

/// Repeatable choices from a seed that a failing test prints.
pub(super) struct Choices(u64);

impl Choices {
    /// With a new seed, or the one in `BULKHEAD_TEST_SEED`.
    pub(super) fn new() -> Self {
        let given = std::env::var("BULKHEAD_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
        eprintln!("BULKHEAD_TEST_SEED={seed}");
        Self(seed)
    }

    /// Choices of its own for one of several tasks.
    fn fork(&mut self) -> Self {
        Self(self.next())
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014).
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
