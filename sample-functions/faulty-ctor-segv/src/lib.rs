//! A plugin whose constructor writes to an address where nothing is.
//!
//! Expected: registration is refused with `LoadFailed` after SIGSEGV, and the host goes on.

#![cfg_attr(not(test), expect(unsafe_code, reason = "constructors are placed by section name"))]
// `cargo test --lib` builds a test program even so, which must not run the constructor.
#![cfg(not(test))]

/// Runs inside `dlopen`, before anybody can check anything.
extern "C" fn constructor() {
    let nowhere = std::ptr::without_provenance_mut::<u8>(std::hint::black_box(8));
    // SAFETY: there is none; the kernel does not map the first page (`vm.mmap_min_addr`), so this faults.
    unsafe { nowhere.write_volatile(1) };
}

#[used]
// SAFETY: the section takes pointers to functions of this type (System V ABI, "Initialization and Termination").
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = constructor;

/// Would work, if it were ever reached.
#[bulkhead::function]
pub fn unreachable() -> u8 {
    1
}
