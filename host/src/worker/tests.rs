//! A worker against a scripted dispatcher over a real link, with attempts that end when the test says
//! so.

mod connection;
mod ends;
mod leaving;
mod packages;
mod rest;
mod script;
mod start;
mod tasks;

pub(super) use script::assignment;
