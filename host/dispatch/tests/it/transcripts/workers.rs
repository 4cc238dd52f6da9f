//! Where tasks go, and what follows when workers come, break off, lie and leave.

use insta::assert_snapshot;

use crate::script::run;

transcripts! {
    /// Found by the simulator: the driver was late, and a worker's hello is the first that the dispatcher
    /// hears of after its time is up. Neither is its connection cut, nor what it brings lost.
    late_hello_after_a_broken_connection: "
        0ms hello w1 push 1
        1ms arrive t1 a
        2ms disconnected w1
        9000ms hello w1 push 1 t1#1
        9001ms ended w1 t1#1 ok
        9002ms arrive t2 a lost=1@w2
        20000ms hello w2 push 1 t2#1
        20001ms ended w2 t2#1 ok
    "

    /// A function goes where its package is as long as a slot is idle there, however much room there is
    /// elsewhere.
    affinity_to_workers_that_hold_the_package: "
        0ms hello w1 push 2
        0ms hello w2 push 4
        1ms arrive t1 a
        2ms arrive t2 a
        3ms arrive t3 b
        4ms ended w2 t2#1 ok
        5ms arrive t4 a
        6ms arrive t5 c
        7ms arrive t6 a
        8ms arrive t7 a
    "

    /// An idle slot is better than the package; without one, the package is.
    affinity_gives_way_to_idle_slots: "
        0ms hello w1 push 1
        1ms ahead w1 2
        2ms arrive t1 a
        3ms hello w2 push 1
        4ms ahead w2 3
        5ms arrive t2 b
        6ms arrive t3 a
        7ms arrive t4 a
        8ms arrive t5 a
        9ms arrive t6 a
        10ms arrive t7 a
        11ms arrive t8 a
    "

    /// Attempts wait at a worker once all slots everywhere are taken.
    ahead_of_its_slots: "
        0ms hello w1 push 1
        1ms hello w2 push 1
        2ms ahead w1 1
        3ms arrive t1 a
        3ms arrive t2 a
        3ms arrive t3 a
        3ms arrive t4 a
        4ms started w1 t1#1
        5ms ended w1 t1#1 ok
        6ms ahead w1 0
        7ms ended w1 t3#1 ok
        8ms arrive t5 a
    "

    /// A pull worker has no more than it asked for, slots or not.
    ahead_of_a_pull_worker: "
        0ms hello w1 pull 1
        1ms ahead w1 5
        2ms arrive t1 a
        2ms arrive t2 a
        2ms arrive t3 a
        3ms ready w1 2
        4ms ended w1 t1#1 ok
        5ms ready w1 9
    "

    /// A worker that rests keeps what it has and gets nothing, whatever it asked for, until it says
    /// otherwise or greets again.
    resting_worker_gets_nothing: "
        0ms hello w1 push 2
        0ms hello w2 pull 2
        0ms ready w2 2
        1ms arrive t1 a
        2ms rest w1
        2ms rest w2
        3ms arrive t2 a
        4ms arrive t3 a
        5ms ended w1 t1#1 ok
        6ms wake w2
        7ms rest w2
        8ms ended w2 t2#1 ok
        9ms arrive t4 a
        10ms hello w1 push 2
    "

    /// What a worker cannot begin comes back and is charged as a return; meanwhile it rests.
    resting_worker_gives_back_what_it_cannot_begin: "
        0ms hello w1 push 1
        1ms arrive t1 a
        2ms rest w1
        2ms ended w1 t1#1 cancelled
        3ms recorded t1
        4ms arrive t1 a failed=1 returns=1
        5ms hello w2 push 1
    "

    /// What waited at a worker that died was not the task's fault and has a budget of its own.
    loss_before_the_start_is_a_return: "
        0ms hello w1 push 1
        1ms ahead w1 1
        2ms arrive t1 a
        2ms arrive t2 a losses=2 failed=2
        3ms started w1 t1#1
        10003ms tick
    "

    /// Neither losses nor returns go on forever.
    poison_is_out_of_budget: "
        config losses=1 returns=1
        0ms hello w1 push 4
        1ms arrive t1 a failed=1 losses=1
        1ms arrive t2 a failed=1 returns=1
        1ms arrive t3 a failed=1 losses=1
        1ms arrive t4 a failed=1 returns=1
        2ms started w1 t1#2
        3ms started w1 t4#2
        4ms hello w1 push 4
        5ms arrive t5 a lost=2@w1 losses=1
    "

    /// The connection broke and came back: what runs goes on, and a kill that may not have arrived is
    /// said again.
    reconnect_keeps_attempts: "
        0ms hello w1 push 3
        1ms arrive t1 a
        1ms arrive t2 a
        2ms started w1 t1#1
        3ms cancel t2
        4ms disconnected w1
        5ms arrive t3 a
        6ms hello w1 push 3 t1#1 t2#1
        503ms tick
        504ms ended w1 t1#1 ok
        505ms ended w1 t2#1 cancelled
    "

    /// Its room is what it says anew; what was assigned and did not arrive is a return.
    reconnect_loses_what_is_not_in_hand: "
        0ms hello w1 push 1
        1ms ahead w1 2
        2ms arrive t1 a
        2ms arrive t2 a
        2ms arrive t3 a
        3ms started w1 t1#1
        4ms hello w1 push 2 t2#1
        5ms arrive t4 a
        6ms arrive t5 a
        7ms ended w1 t1#1 ok
    "

    /// The worker says again what it ended, and that is not a second end.
    reconnect_with_an_ended_attempt: "
        0ms hello w1 push 1
        1ms arrive t1 a
        2ms ended w1 t1#1 ok 7
        3ms disconnected w1
        4ms hello w1 push 1 t1#1
        5ms ended w1 t1#1 ok 7
        6ms arrive t2 a
        7ms recorded t1
    "

    /// A broken connection is a faster sign of death than silence.
    disconnect_evicts_fast: "
        0ms hello w1 push 2
        0ms hello w2 push 1
        1ms arrive t1 a
        2ms started w1 t1#1
        3ms disconnected w1
        4ms arrive t2 b
        5ms disconnected w1
        503ms tick
        504ms recorded t1
        505ms disconnected w1
        506ms heartbeat w1
    "

    /// Silence before the connection broke counts all the same.
    disconnect_of_a_silent_worker: "
        0ms hello w1 push 1
        9800ms disconnected w1
        10000ms tick
    "

    /// A worker that cannot hear it is not dismissed.
    goodbye_and_the_connection_breaks: "
        0ms hello w1 push 2
        1ms arrive t1 a
        2ms goodbye w1
        3ms ended w1 t1#1 ok
        4ms disconnected w1
        5ms recorded t1
        6ms hello w1 push 2 t1#1
        7ms goodbye w1
        8ms ended w1 t1#1 ok
        9ms recovered t1#1 stale
    "

    drain_worker: "
        0ms hello w1 push 2
        0ms hello w2 local 1
        1ms arrive t1 a
        2ms drain-worker w1
        3ms arrive t2 a
        4ms arrive t3 a
        5ms disconnected w1
        6ms hello w1 push 2 t1#1
        7ms goodbye w1
        8ms ended w1 t1#1 ok
        9ms recorded t1
        10ms drain-worker w1
        11ms drain-worker w2
    "

    /// Words of strangers, about others' attempts, and without measure.
    hostile_workers_words: "
        0ms hello w1 push 1
        1ms arrive t1 a
        2ms started w9 t1#1
        3ms ended w9 t1#1 ok
        4ms ready w9 4294967295
        5ms ahead w9 4294967295
        6ms goodbye w9
        7ms disconnected w9
        8ms hello w2 pull 4294967295 t1#1 t1#4294967295 t7#4294967295
        9ms ready w2 4294967295
        10ms ahead w2 4294967295
        11ms started w2 t1#1
        12ms ended w2 t1#1 ok 18446744073709551615
        13ms ended w2 t8#1 ok
        14ms cancel t1
        15ms hello w2 push 0 t7#4294967295
        16ms recovered t1#1 owned
        17ms recovered t7#4294967295 stale
    "
}
