//! How long a request takes through a slot and its result back: in one process, which is the price of the copies,
//! and between two, which is that of the wake-ups as well: `just micro slot`.

mod other_process;

use std::hint::black_box;

use bulkhead_instructions::slot::{Exchange, HostEnd};
use criterion::{Criterion, Throughput};

use other_process::OtherProcess;

/// Sizes of inputs, which are the results as well, in bytes, with their names.
const SIZES: [(&str, usize); 3] = [("100 B", 100), ("64 KiB", 64 << 10), ("1 MiB", 1 << 20)];

fn main() {
    if other_process::is_this() {
        other_process::serve();
    }
    let mut criterion = Criterion::default().configure_from_args();
    in_one_process(&mut criterion);
    between_two(&mut criterion);
    criterion.final_summary();
}

fn in_one_process(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("slot in one process");
    for (name, bytes) in SIZES {
        let (host, exchange) = (HostEnd::new(), Exchange::new(bytes));
        let child = host.child();
        let round_trip = || {
            host.request(black_box(&exchange));
            child.echo();
            host.answer()
        };
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(format!("round trip {name}"), |bencher| bencher.iter(round_trip));
        // Every page that was touched comes anew.
        group.bench_function(format!("round trip and wipe {name}"), |bencher| {
            bencher.iter(|| {
                let result = round_trip();
                host.wipe();
                result
            });
        });
    }
    group.finish();
}

fn between_two(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("slot between two processes");
    for (name, bytes) in SIZES {
        let (host, exchange) = (HostEnd::new(), Exchange::new(bytes));
        let other = OtherProcess::start(&host);
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(format!("round trip {name}"), |bencher| {
            bencher.iter(|| {
                host.request(black_box(&exchange));
                other.wait();
                host.answer()
            });
        });
    }
    group.finish();
}
