//! Write functions for Bulkhead: one attribute on a plain, typed Rust function.
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib", "rlib"]
//!
//! [dependencies]
//! bulkhead = { package = "bulkhead-sdk", version = "0.1" }
//! ```
//!
//! The name `bulkhead` matters: the code that the attribute writes uses it.
//!
//! ```
//! extern crate bulkhead_sdk as bulkhead;
//!
//! /// Greets somebody.
//! #[bulkhead::function]
//! pub fn hello(who: String) -> String {
//!     format!("Hello, {who}!")
//! }
//! # fn main() {
//! use bulkhead::{json, testing::{Call, Outcome}};
//!
//! let outcome = Call::new("hello").args(json!({"who": "Ada"})).run();
//! assert_eq!(outcome, Outcome::Succeeded(json!("Hello, Ada!")));
//! # }
//! ```
//!
//! # Arguments
//!
//! Any number up to 16, of any types that implement [`serde::Deserialize`] and [`schemars::JsonSchema`]. Callers send
//! them as a JSON object by name or an array by position, or as a bincode 2 tuple. An `Option` may be left out in JSON;
//! unknown names are refused. A parameter `&`[`Context`], anywhere among them, is not an argument: it gives logs, progress,
//! deadline, ids and configuration.
//!
//! # Results
//!
//! A function returns any type that implements [`serde::Serialize`] and [`schemars::JsonSchema`], or a `Result` of one.
//! Its error may be any [`std::error::Error`], anything that implements `Display`, an [`Error`], or a type of your own
//! that implements [`FunctionError`] to give codes and say what is worth a retry. A panic is caught and reported with its
//! message and location.
//!
//! # Your own types
//!
//! ```
//! extern crate bulkhead_sdk as bulkhead;
//! use bulkhead::{schemars, schemars::JsonSchema, serde::{Deserialize, Serialize}};
//!
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(crate = "bulkhead::serde")]
//! struct Rectangle {
//!     /// In metres.
//!     width: f64,
//!     height: f64,
//! }
//!
//! #[derive(Serialize, JsonSchema)]
//! #[serde(crate = "bulkhead::serde")]
//! struct Area {
//!     square_metres: f64,
//! }
//!
//! /// Measures a rectangle.
//! #[bulkhead::function(timeout = "5s", memory = "64MiB")]
//! fn area(of: Rectangle) -> Area {
//!     Area { square_metres: of.width * of.height }
//! }
//! # fn main() {
//! # let outcome = bulkhead::testing::Call::new("area").args(bulkhead::json!([{"width": 2.0, "height": 3.0}])).run();
//! # assert_eq!(outcome, bulkhead::testing::Outcome::Succeeded(bulkhead::json!({"square_metres": 6.0})));
//! # }
//! ```

// The macro writes `::bulkhead::…`; this makes that this crate in its own tests as well.
extern crate self as bulkhead;

mod arguments;
mod bytes;
mod call;
mod codec;
mod context;
mod description;
mod error;
mod function;
mod output;
mod panics;
mod plugin;
pub mod random;
mod returns;
pub mod testing;

pub use bytes::Bytes;
pub use context::{Context, Level};
pub use error::{Error, FunctionError};
pub use {schemars, serde, serde_json, serde_json::json};

/// Makes a function callable through Bulkhead.
///
/// The function itself stays as it is; the attribute adds its registration. A crate may have any number of them.
///
/// | option | means | default |
/// | --- | --- | --- |
/// | `name = "…"` | the name for callers | the function's |
/// | `timeout = "5s"` | wall time of a call (`ms`, `s`, `min`, `h`) | the host's |
/// | `memory = "64MiB"` | memory of a call (`B`, `kB`, `MB`, `GB`, `KiB`, `MiB`, `GiB`) | the host's |
/// | `cpu = "2s"` | processor time of a call | the host's |
/// | `threads = 4` | threads of a call, its first included | the host's |
/// | `tmp = "16MiB"` | room for files in `/tmp` | the host's |
/// | `isolation = "fresh"` | a new process per call; `"reuse"`: a warm one for many; `"exec"`: a new sandbox per call | `"fresh"` |
/// | `network = true` | connections to others; refused unless the host grants it | `false` |
/// | `processes = true` | copies of the process, which end with the call; refused unless the host grants it | `false` |
/// | `jit = true` | new executable memory; refused unless the host grants it | `false` |
///
/// ```
/// extern crate bulkhead_sdk as bulkhead;
///
/// /// Joins words.
/// #[bulkhead::function(name = "join-words", timeout = "5s", isolation = "reuse")]
/// fn join(words: Vec<String>, separator: Option<String>) -> String {
///     words.join(separator.as_deref().unwrap_or(" "))
/// }
/// # fn main() {
/// # let outcome = bulkhead::testing::Call::new("join-words").args(bulkhead::json!({"words": ["a", "b"]})).run();
/// # assert_eq!(outcome.expect_ok::<String>(), "a b");
/// # }
/// ```
///
/// Functions that nobody outside could call are compile errors: async and generic ones, methods, borrowed arguments
/// other than the context, arguments without a name. What a wrong option says is in `sdk/tests/misuse`.
pub use bulkhead_macros::function;

/// What the attribute's expansion needs; not for people, and without any promise.
#[doc(hidden)]
pub mod __private {
    pub use linkme;

    pub use crate::function::{Declaration, Descriptor, FUNCTIONS, Limits, Task, serve};

    /// Everything that looks up the kind of a return type.
    pub mod returns {
        pub use crate::returns::{LookupCoded, LookupConverted, LookupDisplayed, LookupMute, LookupPlain, Returns};
    }
}
