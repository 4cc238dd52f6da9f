//! Each rule against a real shared object, compiled by the C compiler that every Rust linker needs.

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

/// A plugin in C as far as the rules can tell.
const PLUGIN: &str = "char _1as_0lib_1header_0root_bmodule_bloader[8] = {1};\n";

/// Compiles `source` into a shared object with more arguments for the compiler.
fn compile(source: &str, arguments: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let [input, output] = ["plugin.c", "plugin.so"].map(|name| folder.path().join(name));
    std::fs::write(&input, source).unwrap();
    run(Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&output).arg(&input).args(arguments));
    std::fs::read(output).unwrap()
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A shared object in `folder` to link against.
fn library(folder: &Path, name: &str, source: &str, arguments: &[&str]) {
    let path = folder.join(format!("lib{name}.so"));
    std::fs::write(&path, compile(source, arguments)).unwrap();
}

fn plugin() -> Vec<u8> {
    static PLUGIN_FILE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let source = format!("#include <math.h>\n{PLUGIN}double f(double x) {{ return pow(x, x); }}");
        compile(&source, &["-lm"])
    });
    PLUGIN_FILE.clone()
}

#[test]
fn a_plugin_is_taken_and_its_facts_are_read() {
    let library = plugin();
    let facts = check_library(&library).unwrap();
    assert_eq!(facts.arch, std::env::consts::ARCH);
    assert_eq!(facts.needed.first().map(String::as_str), Some("libm.so.6"));
    assert!(facts.glibc.is_some());
    assert!(facts.imports >= 1);
    assert_eq!(facts.bytes, library.len() as u64);
}

/// A file that loads nothing but is all right up to its imports: one string table with one long name,
/// which each of the tables below may point to as often as it likes.
fn repeating(needed: usize, imports: usize) -> Vec<u8> {
    const BASE: u64 = 0x1000;
    let root = format!("\0{ROOT_MODULE_SYMBOL}\0");
    let long = root.len() as u64;
    let strings = [root.as_bytes(), &[b'A'; 16_000], &[0; 8]].concat();
    let words = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    // Name, then type and binding (global) in byte 4, then the section in bytes 6 and 7.
    let symbol = |name: u64, section: u64| words(&[name | 0x11 << 32 | section << 48, BASE, 8]);
    let symbols = [symbol(0, 0), symbol(1, 1), symbol(long, 0).repeat(imports)].concat();
    let count = imports as u64 + 2;
    let hash = words(&[1 | count << 32]).into_iter().chain(vec![0; 4 * (imports + 3)]).collect::<Vec<u8>>();
    let mut body = Vec::new();
    let mut place = |bytes: &[u8]| {
        body.resize(body.len().next_multiple_of(8), 0);
        let address = BASE + body.len() as u64;
        body.extend_from_slice(bytes);
        address
    };
    let at = [place(&strings), place(&symbols), place(&hash)];
    let mut dynamic = [1, long].repeat(needed);
    dynamic.extend([5, at[0], 10, strings.len() as u64, 6, at[1], 11, 24, 4, at[2], 0, 0]);
    let dynamic_at = place(&words(&dynamic));
    let header = |kind: u64, flags: u64, address: u64, bytes: u64| {
        words(&[kind | flags << 32, address, address, address, bytes, bytes, 8])
    };
    let segments = [
        header(1, 4, BASE, body.len() as u64),
        header(2, 4, dynamic_at, 8 * dynamic.len() as u64),
        header(0x6474_e551, 6, 0, 0),
    ]
    .concat();
    // e_type, e_machine and e_version; entry, program headers, sections; flags and sizes; counts.
    let machine = plugin()[18..20].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    let rest = [3 | machine << 16 | 1 << 32, 0, 64, 0, 64 << 32 | 56 << 48, 3 | 64 << 16];
    let mut file = [b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".as_slice(), &words(&rest), &segments].concat();
    file.resize(BASE as usize, 0);
    file.extend_from_slice(&body);
    file
}

#[test]
fn one_long_name_that_is_used_again_and_again_takes_no_memory_each_time() {
    let refused = check_library(&repeating(2, 0)).unwrap_err();
    assert!(matches!(&refused, Error::ForbiddenLibraries { libraries } if libraries.len() == 2), "{refused}");
    let refused = check_library(&repeating(100_000, 0)).unwrap_err();
    assert!(matches!(refused, Error::Malformed { .. }), "{refused}");
    let refused = check_library(&repeating(0, 60_000)).unwrap_err();
    let Error::UndefinedSymbols { symbols } = refused else { panic!("{refused}") };
    assert_eq!(symbols.len(), 60_000);
    assert!(symbols.iter().all(|symbol| symbol.len() <= 256));
}

#[test]
fn both_kinds_of_hash_table_lead_to_the_symbols() {
    for style in ["sysv", "gnu"] {
        let library = compile(PLUGIN, &[&format!("-Wl,--hash-style={style}")]);
        assert!(check_library(&library).is_ok(), "{style}");
    }
}

#[test]
fn what_is_no_elf_file_or_of_another_machine_is_told_apart() {
    assert!(matches!(check_library(b""), Err(Error::NotElf)));
    assert!(matches!(check_library(b"#!/bin/sh\n"), Err(Error::NotElf)));
    let with = |position: usize, value: u8| {
        let mut library = plugin();
        library[position] = value;
        check_library(&library).unwrap_err()
    };
    assert!(matches!(with(4, 1), Error::WrongClass { .. }));
    assert!(matches!(with(5, 2), Error::WrongEndianness { .. }));
    // The low byte of e_machine; 3 is the Intel 80386.
    let wrong = with(18, 3);
    assert!(matches!(wrong, Error::WrongArch { .. }));
    assert!(wrong.to_string().contains(std::env::consts::ARCH), "{wrong}");
    // The low byte of e_type: relocatable, executable.
    assert!(matches!(with(16, 1), Error::NotSharedObject { found: "an object file" }));
    assert!(matches!(with(16, 2), Error::NotSharedObject { found: "an executable" }));
}

#[test]
fn a_position_independent_executable_is_no_shared_object() {
    let this_test = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    assert!(matches!(check_library(&this_test), Err(Error::NotSharedObject { .. })));
}

#[test]
fn a_file_that_ends_early_is_truncated_wherever_it_ends() {
    let library = plugin();
    for length in [5, 63, 64, 200, library.len() / 2, library.len() - 1] {
        let error = check_library(&library[..length]).unwrap_err();
        assert!(matches!(error, Error::Truncated { .. }), "{length}: {error}");
    }
}

#[test]
fn a_shared_object_without_a_root_module_is_no_plugin() {
    let error = check_library(&compile("int f(void) { return 1; }", &[])).unwrap_err();
    assert!(matches!(error, Error::NotAPlugin));
    assert!(error.to_string().contains("bulkhead = {"), "{error}");
    // A name that only begins like it does not count, nor does one that is only wanted.
    let longer = "char _1as_0lib_1header_0root_bmodule_bloaderx[8];";
    assert!(matches!(check_library(&compile(longer, &[])), Err(Error::NotAPlugin)));
    let wanted = "extern char _1as_0lib_1header_0root_bmodule_bloader[8]; char f(void) { return *_1as_0lib_1header_0root_bmodule_bloader; }";
    assert!(matches!(check_library(&compile(wanted, &[])), Err(Error::NotAPlugin)));
}

#[test]
fn libraries_that_the_sandbox_lacks_are_named() {
    let folder = tempfile::tempdir().unwrap();
    library(folder.path(), "alpha", "int alpha(void) { return 1; }", &["-Wl,-soname,libalpha.so.3"]);
    let search = format!("-L{}", folder.path().display());
    let library =
        compile(&format!("{PLUGIN}int alpha(void); int f(void) {{ return alpha(); }}"), &[&search, "-lalpha"]);
    let error = check_library(&library).unwrap_err();
    assert!(matches!(&error, Error::ForbiddenLibraries { libraries } if libraries == &["libalpha.so.3"]), "{error}");
    assert!(error.to_string().contains("link it statically"), "{error}");
}

#[test]
fn symbols_that_nothing_defines_are_named_and_weak_ones_are_not() {
    let source = format!(
        "{PLUGIN}int nowhere(void); __attribute__((weak)) int maybe(void);\n\
         int f(void) {{ return nowhere() + (maybe ? maybe() : 0); }}"
    );
    let error = check_library(&compile(&source, &[])).unwrap_err();
    assert!(matches!(&error, Error::UndefinedSymbols { symbols } if symbols == &["nowhere"]), "{error}");
}

#[test]
fn a_symbol_without_a_version_is_found_in_the_c_library() {
    // Without the C library at link time `getpid` gets no version, and no library is named.
    let source = format!("{PLUGIN}int getpid(void); int f(void) {{ return getpid(); }}");
    let facts = check_library(&compile(&source, &["-nostdlib"])).unwrap();
    assert!(facts.needed.is_empty());
    assert_eq!(facts.imports, 1);
    assert_eq!(facts.glibc, None);
}

/// A plugin against a false C library that defines `version`.
fn plugin_of_future(version: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("versions");
    std::fs::write(&script, format!("{version} {{ global: from_the_future; }};")).unwrap();
    let script = format!("-Wl,--version-script,{}", script.display());
    let source = "int from_the_future(void) { return 1; }";
    library(folder.path(), "future", source, &["-nostdlib", "-Wl,-soname,libc.so.6", &script]);
    let search = format!("-L{}", folder.path().display());
    let source = format!("{PLUGIN}int from_the_future(void); int f(void) {{ return from_the_future(); }}");
    compile(&source, &["-nostdlib", &search, "-lfuture"])
}

#[test]
fn a_newer_glibc_than_this_is_refused_and_both_are_named() {
    let error = check_library(&plugin_of_future("GLIBC_2.999")).unwrap_err();
    let (major, minor) = host_libraries::glibc().unwrap();
    let here = format!("{major}.{minor}");
    assert!(matches!(&error, Error::GlibcTooOld { needed, found } if needed == "2.999" && *found == here), "{error}");
    let error = check_library(&plugin_of_future("GLIBC_ABI_UNHEARD_OF")).unwrap_err();
    assert!(matches!(&error, Error::VersionNotHere { library, .. } if library == "libc.so.6"), "{error}");
}

#[test]
fn what_weakens_the_process_is_refused() {
    let refused = |arguments: &[&str]| check_library(&compile(PLUGIN, arguments)).unwrap_err();
    assert!(matches!(refused(&["-Wl,-rpath,/opt"]), Error::RunPath { path } if path == "/opt"));
    assert!(matches!(refused(&["-Wl,-rpath,/opt,--disable-new-dtags"]), Error::RunPath { .. }));
    assert!(matches!(refused(&["-Wl,-z,execstack"]), Error::ExecutableStack));
    // Compilers of today make neither of these on request.
    let mut patched = plugin();
    let end = dynamic_segment(&patched).step_by(16).find(|at| patched[*at..*at + 8] == [0; 8]).unwrap();
    put(&mut patched, end, elf::DT_FLAGS.0.unsigned_abs());
    put(&mut patched, end + 8, elf::DF_TEXTREL.0);
    assert!(matches!(check_library(&patched), Err(Error::TextRelocations)));
    let mut patched = plugin();
    for segment in (64..).step_by(56).take(4) {
        // p_type and p_flags are the first eight bytes of a program header.
        patched[segment + 4] |= 3;
    }
    assert!(matches!(check_library(&patched), Err(Error::WritableCode)));
}

/// Where the dynamic segment lies in a file.
fn dynamic_segment(library: &[u8]) -> std::ops::Range<usize> {
    use object::LittleEndian as Le;
    use object::read::elf::{FileHeader as _, ProgramHeader as _};
    let header = elf::FileHeader64::<Le>::parse(library).unwrap();
    let segments = header.program_headers(Le, library).unwrap();
    let (offset, size) = segments.iter().find(|segment| segment.p_type(Le) == elf::PT_DYNAMIC).unwrap().file_range(Le);
    let start = usize::try_from(offset).unwrap();
    start..start + usize::try_from(size).unwrap()
}

fn put(library: &mut [u8], position: usize, value: u64) {
    library[position..position + 8].copy_from_slice(&value.to_le_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_changed_bytes_make_it_panic(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)) {
        let mut library = plugin();
        for (position, value) in changes {
            let position = position.index(library.len());
            library[position] = value;
        }
        let _ = check_library(&library);
    }

    /// Headers and the dynamic segment are small beside the rest; changes are steered there.
    #[test]
    fn no_changed_table_makes_it_panic(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u64>()), 1..4)) {
        let mut library = plugin();
        let places: Vec<usize> = (0..0x280).chain(dynamic_segment(&library)).step_by(8).collect();
        for (place, value) in changes {
            // Most values are small, so that they point into the file.
            let value = if value % 4 == 0 { value } else { value % 0x5000 };
            put(&mut library, *place.get(&places), value);
        }
        let _ = check_library(&library);
    }

    /// Symbols, versions and their names lie in what is mapped first.
    #[test]
    fn no_changed_symbol_makes_it_panic(changes in proptest::collection::vec((0x280usize..0x800, any::<u8>()), 1..30)) {
        let mut library = plugin();
        for (position, value) in changes {
            library[position] = value;
        }
        let _ = check_library(&library);
    }

    #[test]
    fn no_other_bytes_make_it_panic(tail in proptest::collection::vec(any::<u8>(), 0..500)) {
        let _ = check_library(&[b"\x7fELF\x02\x01\x01".as_slice(), &tail].concat());
    }
}
