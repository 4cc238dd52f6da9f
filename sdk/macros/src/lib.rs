//! The attribute behind `#[bulkhead::function]`; its documentation is in `bulkhead-sdk`, which re-exports it.
//!
//! `options` reads what stands in the parentheses, with `units` for durations and sizes; `signature` checks the
//! function and takes its parameters apart; `expansion` writes one registration next to the untouched function.

mod expansion;
mod options;
mod signature;
mod units;

use proc_macro::TokenStream;

/// Makes a function callable through Bulkhead. See `bulkhead_sdk::function`.
#[proc_macro_attribute]
pub fn function(options: TokenStream, item: TokenStream) -> TokenStream {
    expansion::expand(options.into(), item.into()).into()
}
