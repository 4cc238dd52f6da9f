//! How long the dispatcher's core takes for the whole life of a task, from its arrival to its record, beside few
//! and many workers: `just micro core`.

mod cluster;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use cluster::{BATCH, Cluster, WORKERS};

fn core(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("core");
    for workers in WORKERS {
        let mut cluster = Cluster::new(workers);
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("1 task, {workers} workers"), |bencher| {
            bencher.iter(|| assert_eq!(cluster.run(1), 1));
        });
        group.throughput(Throughput::Elements(BATCH));
        group.bench_function(format!("{BATCH} queued tasks, {workers} workers"), |bencher| {
            bencher.iter(|| assert_eq!(cluster.run(BATCH), BATCH));
        });
    }
    group.finish();
}

criterion_group!(benches, core);
criterion_main!(benches);
