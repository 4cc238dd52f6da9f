//! Makes and checks what is registered: before anything of a plugin runs, its file is read here,
//! at `bulkhead build` as well as at registration. Nothing in here loads a library.

pub mod build;
pub mod check;
pub mod crates;
pub mod description;
mod elf;
mod host_libraries;

pub use check::{LibraryFacts, check_library};
pub use description::check_description;
