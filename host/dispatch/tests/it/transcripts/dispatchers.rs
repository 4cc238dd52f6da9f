//! Attempts that outlive their dispatcher, and tasks that change hands.

use insta::assert_snapshot;

use crate::script::run;

transcripts! {
    /// The dispatcher restarted: a worker brings what it runs, and the store says that it goes on.
    restart_worker_brings_a_running_attempt: "
        0ms hello w1 push 2 t1#1
        1ms recovered t1#1 taken a lost=1@w1 limit=1
        2ms arrive t2 a limit=1
        3ms cancel t1
        4ms ended w1 t1#1 ok
        5ms recorded t1
    "

    /// The attempt began without the store's knowledge.
    restart_worker_brings_an_attempt_that_the_store_does_not_know: "
        0ms hello w1 push 3 t1#1 t2#3
        1ms recovered t1#1 taken a
        2ms recovered t2#3 taken a failed=2 losses=2
        3ms ended w1 t2#3 setup-failed
        4ms ended w1 t1#1 ok
    "

    /// The report is kept until it is known whose the attempt is; said twice, it is one report.
    restart_worker_brings_an_ended_attempt: "
        config unrecorded=1000
        0ms hello w1 push 2 t1#1
        1ms ended w1 t1#1 ok 1000
        1ms ended w1 t1#1 ok 1000
        2ms arrive t2 a
        3ms goodbye w1
        4ms recovered t1#1 taken a lost=1@w1
        5ms recorded t1
    "

    /// The store is asked again and again while the worker has it.
    restart_attempt_is_owned_then_taken: "
        0ms hello w1 push 1 t1#1
        1ms recovered t1#1 owned
        1001ms tick
        1002ms recovered t1#1 failed
        1100ms tick
        1101ms recovered t1#1 taken a lost=1@w1
        1102ms ended w1 t1#1 ok
    "

    restart_attempt_is_stale: "
        0ms hello w1 push 2 t1#1 t2#1
        1ms ended w1 t2#1 ok
        2ms recovered t1#1 stale
        3ms recovered t2#1 stale
        4ms ended w1 t1#1 cancelled
    "

    /// What the store handed over in the meantime is waited for: the worker may come back.
    restart_worker_vanishes_while_the_store_is_asked: "
        0ms hello w1 push 3 t1#1 t2#1 t3#1
        1ms ended w1 t3#1 ok
        2ms disconnected w1
        502ms tick
        503ms recovered t1#1 taken a lost=1@w1
        504ms recovered t2#1 owned
        505ms recovered t3#1 failed
        600ms tick
        601ms recovered t3#1 taken b lost=1@w1
        602ms hello w1 push 3 t1#1 t3#1
        603ms ended w1 t3#1 ok
    "

    /// The claim brings the task before the store answers; its answer is then of no meaning.
    restart_claim_overtakes_the_answer: "
        0ms hello w1 push 1 t1#1
        1ms arrive t1 a lost=1@w1
        2ms ended w1 t1#1 ok
        3ms recorded t1
        4ms recovered t1#1 taken a lost=1@w1
    "

    /// Two workers say that they have the task: the store is asked for one attempt after the other.
    restart_two_workers_have_attempts_of_one_task: "
        0ms hello w1 push 1 t1#1
        0ms hello w2 push 1 t1#2
        1ms recovered t1#1 stale
        2ms ended w1 t1#1 ok
        3ms recovered t1#2 taken a lost=2@w2
        4ms hello w3 push 1 t1#2
        5ms ended w3 t1#2 ok
        6ms ended w2 t1#2 ok
    "

    /// Whatever a worker says it has, a task goes on only where the store knows that it began.
    restart_attempt_is_another_workers: "
        0ms hello w1 push 1 t1#1
        1ms recovered t1#1 taken a lost=1@w2
        2ms hello w2 push 1 t1#1
        3ms ended w1 t1#1 ok
        4ms ended w2 t1#1 ok
    "

    /// Someone wants the task to end before it is known whose it is.
    restart_cancel_of_an_attempt_in_hand: "
        0ms hello w1 push 4 t1#1 t2#1 t3#1
        1ms cancel t1
        2ms stored t1 running
        3ms recovered t1#1 taken a lost=1@w1
        4ms ended w1 t1#1 cancelled
        5ms recorded t1
        6ms cancel t2
        7ms stored t2 running
        8ms recovered t2#1 owned
        9ms cancel t3
        10ms recovered t3#1 taken a
        11ms stored t3 cancelled
    "

    /// A task of a dead dispatcher waits for its worker, which then brings it.
    orphan_is_adopted: "
        0ms hello w1 push 1
        1ms arrive t1 a lost=1@w2 limit=1
        1ms arrive t2 a lost=1@w2 limit=1
        2ms arrive t3 a limit=1
        9000ms heartbeat w1
        9001ms hello w2 push 3 t1#1
        9002ms recorded t2
        9003ms ended w2 t1#1 ok
    "

    /// Nobody came; nor is a worker waited for that is here and does not have it.
    orphan_is_lost: "
        0ms hello w1 push 1
        1ms arrive t1 a lost=1@w2
        1ms arrive t2 a lost=1@w1
        1ms arrive t3 a lost=3@w2 losses=2
        2ms recorded t2
        9000ms heartbeat w1
        10001ms tick
        10002ms recorded t1
        10003ms hello w2 push 1 t1#1
        10004ms recovered t1#1 stale
    "

    /// A task that waits turns out to run: its attempt began without the store's knowledge.
    orphan_was_not_known_as_one: "
        0ms hello w1 push 0
        1ms arrive t1 a expires=50ms
        2ms hello w2 push 1 t1#1
        60ms ended w2 t1#1 ok
    "

    /// Whoever cancels waits until the attempt was found and killed, or counts as lost.
    cancel_of_an_orphan: "
        0ms arrive t1 a lost=1@w1
        0ms arrive t2 a lost=1@w2
        1ms cancel t1
        1ms cancel t2
        2ms hello w1 push 1 t1#1
        3ms ended w1 t1#1 cancelled
        4ms recorded t1
        10000ms tick
        10001ms recorded t2
    "

    fenced: "
        0ms hello w1 push 3
        1ms arrive t1 a limit=1
        1ms arrive t2 b
        1ms arrive t3 a limit=1
        2ms cancel t2
        3ms fenced t1#2
        3ms fenced t1#1
        3ms fenced t2#1
        4ms ended w1 t1#1 ok
        5ms stored t2 running
        6ms ended w1 t2#1 cancelled
    "

    /// The start was refused while another dispatcher had the task, which gave it back since. The attempt
    /// that is being killed has used up its number at that worker.
    fenced_but_claimed_again: "
        0ms hello w1 push 2
        1ms arrive t1 a
        2ms taken-over
        3ms arrive t1 a
        4ms fenced t1#1
        5ms ended w1 t1#1 cancelled
        6ms ended w1 t1#2 ok
    "

    /// What waits is another dispatcher's now; what runs or is being recorded goes on.
    taken_over: "
        0ms hello w1 push 2
        1ms arrive t1 a
        1ms arrive t2 a retry=1
        1ms arrive t3 a
        1ms arrive t4 a
        1ms arrive t6 a
        1ms arrive t5 a lost=1@w2
        2ms cancel t4
        3ms ended w1 t2#1 error
        4ms taken-over
        5ms claim-failed
        6ms stored t4 failed
        7ms ended w1 t1#1 ok
        8ms recorded t1 stale
        9ms recorded t2
    "

    /// What a claim brought is gone, so the store's answer counts that came after it.
    taken_over_while_the_store_is_asked: "
        0ms hello w1 push 1 t1#1
        1ms arrive t1 a failed=1
        2ms taken-over
        3ms recovered t1#1 taken a lost=1@w1
    "

    /// Another dispatcher had the task in the meantime and gave it back: the attempt that runs here is
    /// not the newest any more.
    taken_over_and_claimed_again: "
        0ms hello w1 push 2
        1ms arrive t1 a
        1ms arrive t2 a
        2ms taken-over
        3ms arrive t1 a lost=1@w1
        4ms arrive t2 a failed=1 losses=1
        5ms ended w1 t1#1 ok
        6ms arrive t1 a failed=1
        7ms recorded t1 stale
        8ms ended w1 t2#1 cancelled
    "

    /// In a drain nothing is looked for: what workers have they bring to the next dispatcher, with the
    /// reports that they keep.
    drain_leaves_attempts_in_hand: "
        0ms hello w1 local 1
        1ms hello w2 push 1 t1#1
        2ms arrive t2 a lost=1@w3
        3ms drain 0ms
        4ms recovered t1#1 taken a lost=1@w2
        5ms hello w3 push 1 t2#1
        6ms ended w3 t2#1 ok
    "
}
