//! How long it takes to write, to look into and to unpack a package: `just micro package`.

use std::hint::black_box;

use bulkhead_protocol::package::{Manifest, pack, read_manifest, unpack};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Size of the library, that of a small plugin.
const LIBRARY_BYTES: usize = 1 << 20;

fn package(criterion: &mut Criterion) {
    let manifest = Manifest {
        name: "resize".to_owned(),
        version: "0.1.0".to_owned(),
        arch: "x86_64".to_owned(),
        abi_version: 1,
        sdk_version: "0.1.0".to_owned(),
        glibc: Some("2.34".to_owned()),
        needed: vec!["libgcc_s.so.1".to_owned(), "libc.so.6".to_owned()],
        description: "{}".to_owned(),
        library_sha256: [0; 32],
        library_bytes: 0,
    };
    let library = library();
    let package = pack(manifest.clone(), &library).expect("a package");
    let mut group = criterion.benchmark_group("package");
    group.throughput(Throughput::Bytes(LIBRARY_BYTES as u64));
    group.bench_function("pack 1 MiB", |bencher| {
        bencher.iter(|| pack(manifest.clone(), black_box(&library)).expect("a package"));
    });
    group.bench_function("unpack 1 MiB", |bencher| {
        bencher.iter(|| unpack(black_box(&package)).expect("a package"));
    });
    group.bench_function("read manifest of 1 MiB", |bencher| {
        bencher.iter(|| read_manifest(black_box(&package)).expect("a package"));
    });
    group.finish();
}

/// Bytes that compress to about a third, as machine code does: every other eight of them are random, by xorshift64
/// (Marsaglia 2003), and one in three words repeats.
fn library() -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let words = (0..LIBRARY_BYTES / size_of::<u64>()).map(|index| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        if index % 3 == 0 { state } else { index as u64 & 0xFF }
    });
    words.flat_map(u64::to_le_bytes).collect()
}

criterion_group!(benches, package);
criterion_main!(benches);
