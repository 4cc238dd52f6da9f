//! A plugin of another ABI: its root module has the right name and begins as abi_stable's do, in a version to come.
//!
//! Expected: registration is refused with `LoadFailed` for an incompatible ABI.

#![expect(unsafe_code, reason = "exporting a symbol by name is unsafe")]

/// The first bytes of abi_stable's header, which are the same in all its versions.
#[repr(C)]
pub struct Header {
    magic: [u8; 32],
    major: u32,
    minor: u32,
}

/// The symbol that loaders look up.
// SAFETY: loaders check magic and version before they read on.
#[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
pub static HEADER: Header = Header { magic: *b"abi stable library for Rust     ", major: 99, minor: 0 };
