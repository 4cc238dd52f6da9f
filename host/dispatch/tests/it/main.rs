//! The dispatcher held to its promises: scripts in and transcripts out, and random scripts whose
//! every step is checked.

mod bounds;
mod properties;
mod script;
mod transcripts;
