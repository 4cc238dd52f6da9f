//! What the dispatcher does, one situation a test. Read the snapshots beside these files.
//!
//! Here: the life of a task. `workers`: workers and their connections; `dispatchers`: what the death of
//! one dispatcher means to the next.

use insta::assert_snapshot;

use crate::script::run;

macro_rules! transcripts {
    ($($(#[$doc:meta])* $name:ident: $script:literal)*) => {
        $($(#[$doc])* #[test] fn $name() { assert_snapshot!(stringify!($name), run($script)); })*
    };
}

mod dispatchers;
mod workers;

transcripts! {
    submit_runs_and_completes: "
        0ms hello w1 local 2
        1ms arrive t1 a
        1ms claimed
        5ms ended w1 t1#1 ok
        7ms recorded t1
    "

    /// The author says that another try is useless, so the retry policy does not matter.
    function_error_fails: "
        0ms hello w1 local 1
        1ms arrive t1 a
        2ms ended w1 t1#1 error
        3ms recorded t1
        4ms arrive t2 a retry=5
        5ms ended w1 t2#1 final-error
        6ms recorded t2
    "

    retry_with_backoff: "
        0ms hello w1 local 1
        1ms arrive t1 a retry=2
        1ms claimed
        2ms ended w1 t1#1 error
        3ms recorded t1
        1000ms arrive t1 a retry=2 failed=1 failures=1
        1001ms ended w1 t1#2 panicked
        1002ms recorded t1
        3000ms arrive t1 a retry=2 failed=2 failures=2
        3001ms ended w1 t1#3 timed-out
        3002ms recorded t1
    "

    timeout: "
        0ms hello w1 local 1
        1ms arrive t1 a
        1001ms ended w1 t1#1 timed-out
        1002ms recorded t1
    "

    /// Found by the simulator: the store did not know the task yet when it was asked to cancel it.
    cancel_before_the_task_is_stored: "
        0ms hello w1 local 1
        1ms cancel t1
        2ms stored t1 unknown
        3ms arrive t1 a
        4ms ended w1 t1#1 ok
        5ms cancel t2
        6ms arrive t2 a
        7ms stored t2 unknown
    "

    cancel_queued: "
        0ms hello w1 local 1
        1ms arrive t1 a
        1ms arrive t2 a
        1ms arrive t3 a
        2ms cancel t2
        2ms cancel t2
        3ms ended w1 t1#1 ok
        4ms stored t2 cancelled
        5ms recorded t1
        6ms ended w1 t3#1 ok
        7ms recorded t3
    "

    /// The store is the judge of what is not in hand; a claim under way may still bring it.
    cancel_what_the_store_holds: "
        0ms hello w1 local 1
        1ms cancel t1
        2ms stored t1 cancelled
        3ms arrive t1 a
        3ms claimed
        4ms cancel t2
        5ms arrive t2 a
        6ms stored t2 cancelled
        7ms cancel t3
        8ms stored t3 unknown
        9ms cancel t4
        10ms stored t4 running
    "

    cancel_fails_with_the_store: "
        0ms hello w1 local 1
        1ms arrive t1 a
        2ms arrive t2 a
        3ms cancel t2
        4ms ended w1 t1#1 ok
        5ms stored t2 failed
    "

    cancel_running: "
        0ms hello w1 local 1
        1ms arrive t1 a retry=3
        2ms cancel t1
        3ms cancel t1
        9ms ended w1 t1#1 cancelled
        11ms recorded t1
    "

    /// The attempt ended by itself before the kill reached it.
    cancel_comes_too_late: "
        0ms hello w1 local 1
        1ms arrive t1 a
        2ms cancel t1
        3ms ended w1 t1#1 ok
        4ms cancel t1
        5ms recorded t1
    "

    cancel_between_attempts: "
        0ms hello w1 local 1
        1ms arrive t1 a retry=3
        2ms ended w1 t1#1 error
        3ms cancel t1
        4ms recorded t1
        5ms stored t1 cancelled
    "

    /// The loss of the attempt before the restart is being recorded: the store decides once it is.
    cancel_after_a_restart: "
        0ms hello w1 local 0
        1ms arrive t1 a lost=1
        2ms cancel t1
        3ms recorded t1
        4ms stored t1 cancelled
    "

    queue_full: "
        config window=2
        0ms hello w1 local 1
        1ms arrive t1 a
        1ms arrive t2 a
        1ms arrive t3 a
        1ms claimed
        2ms arrive t2 a
        3ms ended w1 t1#1 ok
        4ms recorded t1
    "

    fairness_between_functions: "
        0ms arrive t1 a
        0ms arrive t2 a
        0ms arrive t3 a
        0ms arrive t4 b
        0ms arrive t5 b
        0ms arrive t6 c
        1ms hello w1 local 6
    "

    priorities: "
        0ms arrive t1 a low
        0ms arrive t2 a
        0ms arrive t3 b
        0ms arrive t4 b high
        0ms arrive t5 b high
        1ms hello w1 local 2
        2ms ended w1 t4#1 ok
        3ms ended w1 t5#1 ok
        4ms ended w1 t2#1 ok
    "

    concurrency_limit: "
        config prefetch=3
        0ms hello w1 local 3
        1ms arrive t1 a limit=1
        1ms arrive t2 a limit=1
        1ms arrive t3 a limit=1
        1ms claimed
        2ms arrive t4 b
        3ms ended w1 t1#1 ok
        4ms ended w1 t2#1 ok
    "

    /// The executor beside a dispatcher dies with it. The loss is charged in the store before the next
    /// attempt, so that a task that kills its dispatchers comes to an end; the third loss is that end.
    restart_recovery: "
        0ms hello w1 local 2
        1ms arrive t1 a lost=1
        1ms arrive t2 a lost=3 losses=2
        2ms recorded t2
        3ms recorded t1
        4ms arrive t1 a failed=1 losses=1
        5ms ended w1 t1#2 ok
    "

    /// What was put back was judged then: it runs, whatever it has used up.
    restart_recovery_of_requeued_tasks: "
        0ms hello w1 local 3
        1ms arrive t1 a failed=2 losses=2
        1ms arrive t2 a failed=1 retry=1 failures=1
        1ms arrive t3 a drained=9
        2ms ended w1 t1#3 setup-failed
        3ms ended w1 t2#2 error
        4ms ended w1 t3#10 setup-failed
    "

    crash_cap_dead_letters: "
        0ms hello w1 local 1
        1ms arrive t1 a retry=9
        2ms ended w1 t1#1 crashed
        3ms recorded t1
        1000ms arrive t1 a retry=9 failed=1 failures=1 crashes=1
        1001ms ended w1 t1#2 crashed
        1002ms recorded t1
        3000ms arrive t1 a retry=9 failed=2 failures=2 crashes=2
        3001ms ended w1 t1#3 crashed
        3002ms recorded t1
    "

    /// A crash is not tried again unless the client asked for retries.
    crash_without_retries_fails: "
        0ms hello w1 local 1
        1ms arrive t1 a
        2ms ended w1 t1#1 crashed
        3ms recorded t1
    "

    setup_failures_have_the_platforms_budget: "
        0ms hello w1 local 1
        1ms arrive t1 a
        2ms ended w1 t1#1 setup-failed
        3ms recorded t1
        1000ms arrive t1 a failed=1 losses=1
        1001ms ended w1 t1#2 setup-failed
        1002ms recorded t1
        3000ms arrive t1 a failed=2 losses=2
        3001ms ended w1 t1#3 setup-failed
        3002ms recorded t1
    "

    stale_result_is_dropped: "
        0ms hello w1 push 1
        1ms arrive t1 a
        10000ms tick
        10001ms recorded t1
        10002ms hello w2 push 1
        10003ms arrive t1 a failed=1 returns=1
        10004ms ended w1 t1#1 ok
        10005ms ended w2 t1#1 ok
        10006ms started w2 t1#1
        10007ms ended w2 t1#2 ok
        10008ms ended w2 t1#2 ok
    "

    /// Nothing is forgotten before the store has it, and nothing is recorded twice.
    store_write_fails_then_recovers: "
        0ms hello w1 local 1
        1ms arrive t1 a
        2ms ended w1 t1#1 ok
        3ms record-failed t1
        4ms record-failed t1
        100ms tick
        101ms record-failed t1
        300ms tick
        301ms recorded t1
        302ms recorded t1
    "

    /// What waits for a broken store is bounded.
    unrecorded_results_hold_back_new_attempts: "
        config unrecorded=1000
        0ms hello w1 local 2
        1ms arrive t1 a
        1ms arrive t2 a
        1ms arrive t3 a
        2ms ended w1 t1#1 ok 999
        3ms ended w1 t2#1 ok 1
        4ms arrive t4 a
        5ms recorded t2
    "

    /// The store hands the task out again before the answer to the write that put it back.
    requeue_overtaken_by_the_next_claim: "
        0ms hello w1 local 1
        1ms arrive t1 a retry=1
        1ms claimed
        2ms ended w1 t1#1 error
        3ms arrive t1 a retry=1 failed=1 failures=1
        3ms claimed
        4ms recorded t1
        5ms ended w1 t1#2 error
    "

    claim_fails_then_recovers: "
        0ms hello w1 local 1
        1ms claim-failed
        100ms tick
        101ms claim-failed
        301ms tick
        302ms arrive t1 a
        302ms claimed
    "

    expiry: "
        0ms hello w1 local 1
        1ms arrive t1 a expires=50ms
        1ms arrive t2 a expires=50ms
        1ms arrive t3 a expires=1ms
        50ms tick
        51ms recorded t2
        52ms ended w1 t1#1 ok
    "

    drain: "
        0ms hello w1 local 2
        1ms arrive t1 a
        1ms arrive t2 a
        1ms arrive t3 a
        2ms drain 100ms
        3ms arrive t4 a
        50ms ended w1 t1#1 ok
        51ms recorded t1
        102ms tick
        103ms ended w1 t2#1 cancelled
        104ms recorded t2
        105ms cancel t3
        106ms stored t3 cancelled
    "

    /// A drain without grace kills at once; a failure that is tried again later is no reason to wait.
    drain_without_grace: "
        0ms hello w1 local 2
        1ms arrive t1 a
        1ms arrive t2 a retry=1
        2ms drain 0ms
        3ms ended w1 t1#1 cancelled
        4ms ended w1 t2#1 error
        5ms recorded t2
        6ms recorded t1
    "

    drain_with_nothing_to_do: "
        0ms hello w1 local 1
        1ms drain 100ms
    "

    after_a_drain_the_attempt_is_not_charged: "
        0ms hello w1 local 1
        1ms arrive t1 a drained=1 losses=1
        2ms ended w1 t1#2 setup-failed
        3ms recorded t1
        4ms arrive t1 a failed=2 losses=2
        5ms ended w1 t1#3 setup-failed
        6ms recorded t1
    "

    /// A worker keeps its reports until the store has them, so it is not dismissed before.
    goodbye: "
        0ms hello w1 push 2
        1ms arrive t1 a
        2ms goodbye w1
        3ms arrive t2 a
        4ms ended w1 t1#1 ok
        5ms record-failed t1
        105ms tick
        106ms recorded t1
    "

    silent_worker_is_evicted: "
        0ms hello w1 push 1
        1ms arrive t1 a
        2ms started w1 t1#1
        6000ms heartbeat w1
        10000ms tick
        16000ms tick
        16001ms recorded t1
        16002ms heartbeat w1
        16003ms hello w1 push 1
        16004ms arrive t1 a failed=1 losses=1
    "

    /// Two attempts that began and were lost are tried again, the third is the end.
    worker_that_restarts_loses_its_attempts: "
        0ms hello w1 push 1
        1ms arrive t1 a
        1ms started w1 t1#1
        2ms hello w1 push 1
        3ms recorded t1
        4ms arrive t1 a failed=1 losses=1
        4ms started w1 t1#2
        5ms hello w1 push 1
        6ms recorded t1
        7ms arrive t1 a failed=2 losses=2
        7ms started w1 t1#3
        8ms hello w1 push 1
    "

    pull_requests_are_parked: "
        0ms hello w1 pull 4
        1ms arrive t1 a
        2ms ready w1 2
        3ms arrive t2 a
        4ms arrive t3 a
        5ms ended w1 t1#1 ok
        6ms ready w1 1
    "

    least_loaded_worker_first: "
        0ms hello w1 push 1
        0ms hello w2 push 3
        1ms arrive t1 a
        1ms arrive t2 b
        1ms arrive t3 c
        1ms arrive t4 d
    "
}
