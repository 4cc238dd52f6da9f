//! The tests that go through a server and hold for each, whatever runs behind it. `tests/settings`
//! includes them once for each setting.

pub(crate) mod bad_packages;
pub(crate) mod bad_requests;
pub(crate) mod batch;
pub(crate) mod built;
pub(crate) mod cancel;
pub(crate) mod cli_server;
pub(crate) mod crash_safety;
pub(crate) mod drain;
pub(crate) mod faulty;
pub(crate) mod first_endpoints;
pub(crate) mod functions;
pub(crate) mod grants;
pub(crate) mod independence;
pub(crate) mod invoke;
pub(crate) mod isolation;
pub(crate) mod older_packages;
pub(crate) mod pages;
pub(crate) mod policy;
pub(crate) mod samples;
pub(crate) mod surroundings;
pub(crate) mod tasks;
pub(crate) mod workers;
