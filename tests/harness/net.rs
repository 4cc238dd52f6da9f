//! Hosts of their own, as network namespaces on one switch, whose wires can be cut and listened to.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::command::run_within;
use super::daemon::Daemon;
use super::deadline::{SHORT, eventually};
use super::installed::program;

/// Most hosts of a network.
const MOST_HOSTS: u8 = 6;

/// A switch with hosts on it. This machine itself is on it too, so that tests can reach them.
#[derive(Debug)]
pub struct Network {
    /// Begins the names of everything that belongs to it.
    name: String,
    /// The second byte of its addresses.
    number: u8,
    /// The next host's.
    next: AtomicU8,
}

/// A host: a network namespace with one wire to the switch.
#[derive(Clone, Debug)]
pub struct Host {
    network: Arc<Network>,
    /// The last byte of its address.
    number: u8,
}

impl Network {
    /// Lays one out.
    ///
    /// # Panics
    /// When this user may not.
    #[track_caller]
    pub fn new() -> Arc<Self> {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        // Addresses for benchmarks of devices, RFC 2544, would be 198.18/15; 10.64/10 is as private and larger.
        let number = 64 + (std::process::id() % 16) as u8 * 8 + NEXT.fetch_add(1, Ordering::Relaxed) % 8;
        let name = format!("bh{number}");
        let network = Self { name, number, next: AtomicU8::new(1) };
        // Left over from a run that was killed.
        network.remove();
        let switch = network.switch();
        ip(&["netns", "add", &switch]);
        ip(&["-n", &switch, "link", "add", "switch", "type", "bridge"]);
        ip(&["-n", &switch, "link", "set", "switch", "up"]);
        let network = Arc::new(network);
        let own = network.wire(0);
        ip(&["link", "add", &own, "type", "veth", "peer", "name", "w0", "netns", &switch]);
        network.plug(0);
        ip(&["address", "add", &format!("{}/24", network.address(0)), "dev", &own]);
        ip(&["link", "set", &own, "up"]);
        network
    }

    /// Another host.
    #[track_caller]
    pub fn host(self: &Arc<Self>) -> Host {
        let host = Host { network: Arc::clone(self), number: self.next.fetch_add(1, Ordering::Relaxed) };
        assert!(host.number <= MOST_HOSTS, "a network has at most {MOST_HOSTS} hosts");
        let (namespace, number) = (host.namespace(), host.number);
        ip(&["netns", "add", &namespace]);
        let (wire, switch) = (format!("w{number}"), self.switch());
        ip(&["-n", &namespace, "link", "add", "eth0", "type", "veth", "peer", "name", &wire, "netns", &switch]);
        self.plug(number);
        ip(&["-n", &namespace, "address", "add", &format!("{}/24", host.address()), "dev", "eth0"]);
        ip(&["-n", &namespace, "link", "set", "eth0", "up"]);
        ip(&["-n", &namespace, "link", "set", "lo", "up"]);
        host
    }

    /// The namespace of the switch.
    fn switch(&self) -> String {
        format!("{}-switch", self.name)
    }

    fn wire(&self, number: u8) -> String {
        format!("{}-{number}", self.name)
    }

    fn address(&self, number: u8) -> IpAddr {
        Ipv4Addr::new(10, self.number, 0, if number == 0 { 254 } else { number }).into()
    }

    #[track_caller]
    fn plug(&self, number: u8) {
        let (switch, wire) = (self.switch(), format!("w{number}"));
        ip(&["-n", &switch, "link", "set", &wire, "master", "switch"]);
        ip(&["-n", &switch, "link", "set", &wire, "up"]);
    }

    /// Removes everything: with a namespace go the wires that end in it.
    fn remove(&self) {
        for number in 1..=MOST_HOSTS {
            run_within(ip_command(&["netns", "delete", &self.wire(number)]), b"", SHORT);
        }
        run_within(ip_command(&["netns", "delete", &self.switch()]), b"", SHORT);
        run_within(ip_command(&["link", "delete", &self.wire(0)]), b"", SHORT);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.remove();
    }
}

impl Host {
    /// Its address.
    pub fn address(&self) -> IpAddr {
        self.network.address(self.number)
    }

    /// A command that runs on it.
    pub fn command(&self, program: &Path) -> Command {
        enter(&self.namespace(), program)
    }

    /// Pulls its wire: what it sends and what is sent to it is lost without a word.
    #[track_caller]
    pub fn cut(&self) {
        ip(&["-n", &self.network.switch(), "link", "set", &format!("w{}", self.number), "nomaster"]);
    }

    /// Puts its wire back.
    #[track_caller]
    pub fn heal(&self) {
        self.network.plug(self.number);
    }

    /// Listens on its wire from now on.
    #[track_caller]
    pub fn capture(&self) -> Capture {
        let folder = TempDir::new().expect("a temporary folder");
        let file = folder.path().join("wire.pcap");
        let mut tcpdump = enter(&self.network.switch(), &program("tcpdump", "tcpdump"));
        tcpdump.args(["--interface", &format!("w{}", self.number)]);
        // Whole packets, written at once, by whoever it runs as now.
        tcpdump.args(["--snapshot-length", "0", "--packet-buffered", "--relinquish-privileges", "root", "-w"]);
        tcpdump.arg(&file);
        let listening = Daemon::start(tcpdump);
        eventually("tcpdump listens", || {
            let log = listening.log();
            if log.contains("listening on") { Ok(()) } else { Err(log) }
        });
        Capture { listening, folder }
    }

    fn namespace(&self) -> String {
        self.network.wire(self.number)
    }
}

/// What goes over a wire.
pub struct Capture {
    listening: Daemon,
    folder: TempDir,
}

impl Capture {
    /// Ends it and returns the bytes of all packets, headers and all.
    #[track_caller]
    pub fn end(mut self) -> Vec<u8> {
        self.listening.signal(Signal::SIGINT);
        self.listening.wait_within(SHORT);
        eventually("tcpdump says that it missed nothing", || {
            let log = self.listening.log();
            if log.contains("\n0 packets dropped by kernel") { Ok(()) } else { Err(log) }
        });
        std::fs::read(self.folder.path().join("wire.pcap")).expect("a capture")
    }
}

/// A command in the network of a namespace, with everything else as it is here: `ip netns exec` would put
/// another `/sys` in place, and so hide the control groups.
fn enter(namespace: &str, inside: &Path) -> Command {
    let mut command = Command::new(program("nsenter", "util-linux"));
    command.arg(format!("--net=/run/netns/{namespace}")).arg("--").arg(inside);
    command
}

fn ip_command(arguments: &[&str]) -> Command {
    let mut command = Command::new(program("ip", "iproute2"));
    command.args(arguments);
    command
}

#[track_caller]
fn ip(arguments: &[&str]) {
    run_within(ip_command(arguments), b"", SHORT).expect(0);
}
