//! What a plugin may call back while it runs a function.

use abi_stable::{StableAbi, prefix_type::PrefixTypeTrait, std_types::RStr};

/// Callbacks of the host, handed to the plugin with every [`Request`](crate::Request).
///
/// They may be called from any thread of the child while the call runs, and never fail: a host that cannot take a
/// message drops it. Fractions outside 0 to 1, not-a-number and unknown levels are the host's to clamp.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = HostRef, prefix_fields = HostPrefix)))]
pub struct Host {
    /// Records one log line of the call; see [`level`] for the levels.
    pub log: extern "C" fn(level: u8, message: RStr<'_>),

    /// Says how far the call is, as a fraction from 0 to 1, and what it is doing.
    #[sabi(last_prefix_field)]
    pub progress: extern "C" fn(fraction: f64, message: RStr<'_>),
}

impl Host {
    /// Makes the reference that requests carry.
    ///
    /// The callbacks are leaked: a host makes them once per process.
    pub fn leak(self) -> HostRef {
        self.leak_into_prefix()
    }
}

/// Levels of [`Host::log`], in the order of their importance.
pub mod level {
    /// Something failed.
    pub const ERROR: u8 = 1;
    /// Something is odd, and the function went on.
    pub const WARN: u8 = 2;
    /// What a reader of the logs of a healthy call wants to see.
    pub const INFO: u8 = 3;
    /// Details for the author of the function.
    pub const DEBUG: u8 = 4;
    /// Every step.
    pub const TRACE: u8 = 5;
}
