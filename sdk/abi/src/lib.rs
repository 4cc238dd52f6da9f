//! The interface between Bulkhead's runner and the plugins that it loads.
//!
//! A plugin is a cdylib that exports one [`abi_stable`] root module, [`Plugin`]. The SDK writes that module for
//! function authors; the runner opens the file with [`load`], which checks the layout of every type below before
//! anything of the plugin is called.
//!
//! ```text
//! runner ──load──▶ PluginRef ──describe()──────────────▶ JSON: functions, schemas, limits
//!                            ──after_fork(seed)────────▶ (once in every child)
//!                            ──call(index, Request)────▶ Response, result bytes in Request::output
//!          HostRef ◀─────────  log(), progress()
//! ```
//!
//! # What may change
//!
//! [`Plugin`] and [`Host`] are *prefix types*: new fields go at the end, after `last_prefix_field`, where their
//! accessors return `Option`, so that a newer host loads an older package and the reverse. [`Request`], [`Response`] and
//! [`Seed`] are passed by value and are frozen; a call that needs more is a new entry of [`Plugin`]. A change that
//! breaks these rules raises [`ABI_VERSION`], and the layout snapshot in `tests/layout.rs` makes it visible.

mod export;
mod host;
mod load;
mod plugin;
mod request;

pub use abi_stable::std_types::{RSlice, RSliceMut, RStr, RVec};
pub use export::RootModuleHeader;
pub use host::{Host, HostRef, level};
pub use load::{LoadError, load};
pub use plugin::{Plugin, PluginRef, Seed};
pub use request::{Request, Response, encoding, response_kind};

/// The version of this interface: the major version that plugin and runner must share.
pub const ABI_VERSION: u32 = 1;

/// The ELF symbol under which a plugin exports its root module: what a reader of the file looks for.
///
/// The name is abi_stable's, a test holds it to that. `bulkhead build` repeats it, as the host does not link this crate.
pub const ROOT_MODULE_SYMBOL: &str = "_1as_0lib_1header_0root_bmodule_bloader";

/// The least size of [`Request::output`] in bytes that a host guarantees.
///
/// Every response that describes a failure fits in it, whatever the result limit of the function is.
pub const MIN_OUTPUT_BYTES: usize = 128 * 1024;

/// The most bytes that a message inside a failure response takes, before JSON escapes it.
///
/// Longer ones are cut. Half of [`MIN_OUTPUT_BYTES`] leaves room for the rest of the JSON object.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;

#[doc(hidden)]
pub mod __private {
    pub use abi_stable;
}
