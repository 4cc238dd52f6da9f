//! The root module: the entries that the runner calls in a plugin.

#![expect(unsafe_code, reason = "abi_stable's derive gives the accessor it generates the span of the field")]

use abi_stable::{
    StableAbi, declare_root_module_statics, library::RootModule, prefix_type::PrefixTypeTrait,
    sabi_types::VersionStrings, std_types::RVec,
};

use crate::{Request, Response};

/// The entries of a plugin.
///
/// `PluginRef` has an accessor per field. None of the entries unwinds: the SDK catches panics, and one that gets past
/// it aborts the process, which the host reports as a crash.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginRef, prefix_fields = PluginPrefix)))]
pub struct Plugin {
    /// Says what the plugin offers, as UTF-8 JSON: a `PackageDescription` (see the SDK's `description` module).
    ///
    /// Schemas are made here and nowhere else, so that a runner that only calls functions never pays for them.
    pub describe: extern "C" fn() -> RVec<u8>,

    /// Runs the function at position `function` of the description on the calling thread.
    ///
    /// The result, or the JSON that explains the failure, is in the first [`Response::length`] bytes of
    /// [`Request::output`].
    #[sabi(last_prefix_field)]
    pub call: for<'a> extern "C" fn(function: u32, request: Request<'a>) -> Response,

    /// Called in every child right after the fork, before a request is read.
    ///
    /// Process-global generators that were seeded before the fork would give all children the same numbers; the seed is
    /// fresh randomness of the host for this child. Absent from plugins whose ABI predates it.
    pub after_fork: extern "C" fn(seed: Seed),
}

impl Plugin {
    /// Makes the reference that the root module's constructor returns.
    ///
    /// The entries are leaked: a plugin makes them once per process.
    pub fn leak(self) -> PluginRef {
        self.leak_into_prefix()
    }
}

/// Randomness that the host gives to one child.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, StableAbi)]
pub struct Seed {
    /// 32 bytes from the kernel's generator.
    pub bytes: [u8; 32],
}

impl RootModule for PluginRef {
    declare_root_module_statics! {PluginRef}

    const BASE_NAME: &'static str = "bulkhead_plugin";
    const NAME: &'static str = "bulkhead_plugin";
    // The ABI's version, not the crate's: abi_stable refuses a plugin whose 0.x minor version is older than the
    // loader's, while a newer host has to load every package of the same ABI version.
    const VERSION_STRINGS: VersionStrings = VersionStrings::new("1.0.0");
}
