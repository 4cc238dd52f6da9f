//! How long it takes to write and to read what travels for one task: `just micro codec`.

mod messages;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use messages::{
    SIZES, assignment, decode_at_dispatcher, decode_at_worker, encode_to_dispatcher, encode_to_worker, ended,
};

fn codec(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec");
    for (name, bytes) in SIZES {
        group.throughput(Throughput::Bytes(bytes as u64));
        let (assignment, ended) = (assignment(bytes), ended(bytes));
        let (assigned, reported) = (encode_to_worker(&assignment), encode_to_dispatcher(&ended));
        group.bench_function(format!("encode assignment {name}"), |bencher| {
            bencher.iter(|| encode_to_worker(black_box(&assignment)));
        });
        group.bench_function(format!("decode assignment {name}"), |bencher| {
            bencher.iter(|| decode_at_worker(black_box(&assigned)));
        });
        group.bench_function(format!("encode report {name}"), |bencher| {
            bencher.iter(|| encode_to_dispatcher(black_box(&ended)));
        });
        group.bench_function(format!("decode report {name}"), |bencher| {
            bencher.iter(|| decode_at_dispatcher(black_box(&reported)));
        });
    }
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
