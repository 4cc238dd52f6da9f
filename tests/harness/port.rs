//! Ports for servers that have to be found again on the same one after a restart.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the ports that Linux gives to connections by itself (`net.ipv4.ip_local_port_range`), so that no
/// connection takes one while its server is away.
const FIRST: u16 = 11_000;
/// Ports of one run; runs side by side take different ones.
const EACH: u16 = 500;
/// Runs that have ports of their own.
const RUNS: u16 = 40;

/// A port that nothing listens on.
///
/// # Panics
/// When all are taken.
pub fn unused_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let run = u16::try_from(std::process::id() % u32::from(RUNS)).expect("a small number");
    let ports = std::iter::repeat_with(|| FIRST + run * EACH + NEXT.fetch_add(1, Ordering::Relaxed) % EACH);
    let mut free = ports.take(EACH.into()).filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    free.next().expect("a port is free")
}
