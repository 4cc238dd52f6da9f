//! End-to-end tests: everything through the built executables, over HTTP or the command line.

mod bad_packages;
mod bad_requests;
mod batch;
mod cancel;
mod cli_crates;
mod cli_server;
mod cli_usage;
mod crash_safety;
mod drain;
mod faulty;
mod first_endpoints;
mod functions;
mod independence;
mod invoke;
mod isolation;
mod older_packages;
mod ordinary_user;
mod pages;
mod readme;
mod samples;
mod start_failures;
mod surroundings;
mod tasks;
mod workspace;
