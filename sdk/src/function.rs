//! What `#[bulkhead::function]` leaves behind: one static per function, collected by the linker.
//!
//! The statics form one array in the finished library ([`linkme`] puts each into a link section of its own name), so
//! nothing runs at load to register them. Their order is the linker's: it is the same for everybody who reads one
//! file, and the index of a function is its position.

use crate::{Context, arguments::Arguments, call::Call, description::Describe, returns::ReturnKind};

/// All functions of the library, or of the test program, that is being linked.
#[linkme::distributed_slice]
pub static FUNCTIONS: [Descriptor];

/// One function: what the macro saw of it, and the way in.
#[derive(Debug)]
pub struct Descriptor {
    /// What the author wrote.
    pub(crate) declaration: Declaration,
    /// Calls or describes it. One entry for both, so that each function costs one instantiation of [`serve`].
    pub(crate) entry: fn(Task<'_, '_>),
}

impl Descriptor {
    /// Joins both parts; for the macro alone.
    #[must_use]
    pub const fn new(declaration: Declaration, entry: fn(Task<'_, '_>)) -> Self {
        Self { declaration, entry }
    }
}

/// What the author of a function wrote, without its types.
#[derive(Debug)]
pub struct Declaration {
    /// The name by which callers know it.
    pub name: &'static str,
    /// Its doc comment, in Markdown.
    pub documentation: &'static str,
    /// The names of its arguments, by position.
    pub parameters: &'static [&'static str],
    /// File and line of the attribute, to tell two functions of one name apart.
    pub location: &'static str,
    /// Limits that the author chose.
    pub limits: Limits,
    /// `fresh`, `reuse` or `exec`; absent means the host's default.
    pub isolation: Option<&'static str>,
    /// Whether it asks for the network.
    pub network: Option<bool>,
    /// Whether it asks to start processes.
    pub processes: Option<bool>,
    /// Whether it asks for new executable memory.
    pub jit: Option<bool>,
}

/// Limits that an author asks for; absent ones are the host's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Limits {
    /// Wall time of a call, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Memory of a call, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Processor time of a call, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u64>,
    /// Threads of a call, its first included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u64>,
    /// Room for files in `/tmp`, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tmp_bytes: Option<u64>,
}

/// What is asked of a function's entry.
#[derive(Debug)]
pub enum Task<'t, 'c> {
    /// Write the schemas of its types.
    Describe(&'t mut Describe),
    /// Decode, run, encode.
    Call(&'t mut Call<'c>),
}

/// The body of every function's entry: does `task` for `function`, whose results are of the kind `K`.
///
/// This is the one call that `#[bulkhead::function]` writes.
pub fn serve<A: Arguments, K: ReturnKind>(task: Task<'_, '_>, _kind: K, function: fn(&Context, A) -> K::Returned) {
    match task {
        Task::Describe(describe) => describe.types::<A, K::Output>(),
        Task::Call(call) => {
            if let Some(arguments) = call.arguments::<A>() {
                let returned = function(call.context(), arguments);
                call.finish(K::split(returned));
            }
        }
    }
}
