//! Which paths are counted, and how often each runs for one count.

use std::hint::black_box;

use crate::slot::{Exchange, HostEnd};

// What the benches of both crates time; a crate cannot see another's benches but as files.
#[path = "../../../host/dispatch/benches/core/cluster.rs"]
mod cluster;
#[path = "../../../host/protocol/benches/codec/messages.rs"]
mod messages;

use cluster::{BATCH, Cluster, WORKERS};
use messages::{
    SIZES, assignment, decode_at_dispatcher, decode_at_worker, encode_to_dispatcher, encode_to_worker, ended,
};

/// A path that can be run any number of times.
pub struct Path {
    /// Its name, as in `tests/instructions/figures.toml`.
    pub name: String,
    /// How often it runs for one count: enough that what the first runs do beyond the others is noise.
    pub runs: u64,
    /// Operations in one run.
    pub operations: u64,
    /// Makes what one run after the other needs.
    prepare: Box<dyn Fn() -> Box<dyn FnMut()>>,
}

impl Path {
    /// Runs it so many times.
    pub fn run(&self, times: u64) {
        let mut run = (self.prepare)();
        for _ in 0..times {
            run();
        }
    }

    fn new(name: String, (runs, operations): (u64, u64), prepare: impl Fn() -> Box<dyn FnMut()> + 'static) -> Self {
        Self { name, runs, operations, prepare: Box::new(prepare) }
    }
}

/// All paths.
pub fn all() -> Vec<Path> {
    SIZES.into_iter().flat_map(sized).chain(WORKERS.into_iter().flat_map(core)).collect()
}

/// What depends on the size of an input or a result.
fn sized((size, bytes): (&str, usize)) -> Vec<Path> {
    // Under callgrind, about a tenth of a second for each path.
    let often = (if bytes < 1_000 { 2_000 } else { 50 }, 1);
    let size = size.replace(' ', "");
    vec![
        Path::new(format!("codec/encode-assignment/{size}"), often, move || {
            let message = assignment(bytes);
            Box::new(move || drop(black_box(encode_to_worker(black_box(&message)))))
        }),
        Path::new(format!("codec/decode-assignment/{size}"), often, move || {
            let batch = encode_to_worker(&assignment(bytes));
            Box::new(move || drop(black_box(decode_at_worker(black_box(&batch)))))
        }),
        Path::new(format!("codec/encode-report/{size}"), often, move || {
            let message = ended(bytes);
            Box::new(move || drop(black_box(encode_to_dispatcher(black_box(&message)))))
        }),
        Path::new(format!("codec/decode-report/{size}"), often, move || {
            let batch = encode_to_dispatcher(&ended(bytes));
            Box::new(move || drop(black_box(decode_at_dispatcher(black_box(&batch)))))
        }),
        Path::new(format!("slot/exchange/{size}"), often, move || {
            let (host, exchange) = (HostEnd::new(), Exchange::new(bytes));
            let child = host.child();
            Box::new(move || {
                host.request(&exchange);
                child.echo();
                drop(black_box(host.answer()));
            })
        }),
    ]
}

/// What depends on the number of workers.
fn core(workers: u64) -> Vec<Path> {
    let lives = move |tasks| {
        move || -> Box<dyn FnMut()> {
            let mut cluster = Cluster::new(workers);
            Box::new(move || assert_eq!(cluster.run(tasks), tasks, "a task did not end"))
        }
    };
    vec![
        // Runs enough that each worker has its turn with each function.
        Path::new(format!("core/one-task/{workers}-workers"), (4_000, 1), lives(1)),
        Path::new(format!("core/{BATCH}-tasks/{workers}-workers"), (4, BATCH), lives(BATCH)),
    ]
}
