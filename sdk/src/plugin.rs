//! The root module that every library with the SDK in it exports.

use bulkhead_abi::{Plugin, PluginRef, RVec, Request, Response, Seed};

use crate::{call, description, function::FUNCTIONS, panics, random};

bulkhead_abi::export_plugin!(plugin);

fn plugin() -> PluginRef {
    // Before the fork, so that children find it done.
    panics::install_hook();
    Plugin { describe, call, after_fork }.leak()
}

extern "C" fn describe() -> RVec<u8> {
    // Maps with keys that are no strings do not occur in it, and there is no other reason to fail.
    serde_json::to_vec(&description::describe()).unwrap_or_default().into()
}

extern "C" fn call<'a>(function: u32, request: Request<'a>) -> Response {
    let descriptor = usize::try_from(function).ok().and_then(|index| FUNCTIONS.get(index));
    call::run(descriptor, request)
}

extern "C" fn after_fork(seed: Seed) {
    random::after_fork(seed.bytes);
}
