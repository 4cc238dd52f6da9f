//! How long it takes to check a plugin's library before anything of it runs: `just micro library`.

use std::fmt::Write as _;
use std::hint::black_box;
use std::process::Command;

use bulkhead::package::check_library;
use criterion::{Criterion, criterion_group, criterion_main};

/// What makes a library a plugin, as far as its symbols tell.
const PLUGIN: &str = "char _1as_0lib_1header_0root_bmodule_bloader[8] = {1};\n";

/// Functions of the C library that the plugin imports; a small one in Rust imports about sixty symbols.
const IMPORTS: [&str; 16] = [
    "abort", "bcmp", "calloc", "close", "free", "getcwd", "getenv", "malloc", "memcpy", "memmove", "memset", "open64",
    "read", "realloc", "strlen", "write",
];

fn library(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("library");
    for exports in [1, 1_000] {
        let library = compile(exports);
        assert!(check_library(&library).expect("a plugin").imports >= IMPORTS.len());
        group.bench_function(format!("check, {exports} exported functions"), |bencher| {
            bencher.iter(|| check_library(black_box(&library)).expect("a plugin"));
        });
    }
    group.finish();
}

/// A shared object with so many exported functions, by the C compiler that every Rust linker needs.
fn compile(exports: usize) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let [input, output] = ["plugin.c", "plugin.so"].map(|name| folder.path().join(name));
    let mut source = PLUGIN.to_owned();
    for name in IMPORTS {
        // As data, so that the compiler needs no types.
        let _ = writeln!(source, "extern char {name}[]; char *use_{name} = {name};");
    }
    for number in 0..exports {
        let _ = writeln!(source, "int function_{number}(void) {{ return {number}; }}");
    }
    std::fs::write(&input, source).expect("a file");
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-fno-builtin", "-o"])
        .arg(&output)
        .arg(&input)
        .status()
        .expect("there is a C compiler");
    assert!(status.success(), "the C compiler refuses the plugin");
    std::fs::read(output).expect("the plugin")
}

criterion_group!(benches, library);
criterion_main!(benches);
