//! Addresses as people write them: `tcp://host:port`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Longest name of a host in bytes (RFC 1035).
const MAX_HOST_BYTES: usize = 253;

/// Where a dispatcher listens for workers: `tcp://host:port`, with the host as a name or an address
/// (IPv6 in brackets).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The name or address, without brackets.
    host: String,
    /// The port; 0 lets the system choose one to listen on.
    port: u16,
}

/// Why a text is no [`Endpoint`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEndpoint {
    /// It does not begin with `tcp://`.
    #[error("an endpoint is written tcp://HOST:PORT, and {text:?} does not begin with tcp://")]
    Scheme {
        /// The text.
        text: String,
    },
    /// There is no port, or no number.
    #[error("an endpoint is written tcp://HOST:PORT, and {text:?} has no port from 0 to 65535")]
    Port {
        /// The text.
        text: String,
    },
    /// The host is neither a name nor an address.
    #[error("an endpoint is written tcp://HOST:PORT, and {text:?} names no host")]
    Host {
        /// The text.
        text: String,
    },
}

impl Endpoint {
    /// The endpoint of an address.
    pub fn new(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port() }
    }

    /// The name or address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it cannot be reached from another machine, as far as its text tells: a loopback
    /// address, or `localhost`.
    pub fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost") || self.host.parse().is_ok_and(is_loopback)
    }
}

/// Whether an address is this machine only, also where IPv4 is written as IPv6.
pub(super) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// An address as libzmq takes it.
pub(super) fn zmq_address(address: SocketAddr) -> String {
    // A SocketAddr of IPv6 displays in brackets.
    format!("tcp://{address}")
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let owned = || text.to_owned();
        let Some(rest) = text.strip_prefix("tcp://") else { return Err(InvalidEndpoint::Scheme { text: owned() }) };
        let Some((host, port)) = rest.rsplit_once(':') else { return Err(InvalidEndpoint::Port { text: owned() }) };
        // `u16::from_str` takes a plus sign, which no port has.
        let port = port.parse().ok().filter(|_| port.bytes().all(|byte| byte.is_ascii_digit()));
        let port = port.ok_or_else(|| InvalidEndpoint::Port { text: owned() })?;
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let named = match inner {
            Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
            None => {
                (1..=MAX_HOST_BYTES).contains(&host.len())
                    && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
            }
        };
        if !named {
            return Err(InvalidEndpoint::Host { text: owned() });
        }
        Ok(Self { host: inner.unwrap_or(host).to_owned(), port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "tcp://[{host}]:{port}") } else { write!(f, "tcp://{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_written_as_it_is_read() {
        for text in ["tcp://127.0.0.1:5555", "tcp://[::1]:1", "tcp://worker-3.example.org:65535", "tcp://0.0.0.0:0"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "127.0.0.1:5555", "ipc:///tmp/x", "tcp:/a:1"] {
            assert!(matches!(text.parse::<Endpoint>(), Err(InvalidEndpoint::Scheme { .. })), "{text:?}");
        }
        for text in ["tcp://a", "tcp://a:", "tcp://a:65536", "tcp://a:+1", "tcp://a:-1", "tcp://a:x"] {
            assert!(matches!(text.parse::<Endpoint>(), Err(InvalidEndpoint::Port { .. })), "{text:?}");
        }
        for text in ["tcp://:1", "tcp://::1:1", "tcp://[a]:1", "tcp://a b:1", "tcp://*:1", "tcp://a/b:1", "tcp://a;b:1"]
        {
            assert!(matches!(text.parse::<Endpoint>(), Err(InvalidEndpoint::Host { .. })), "{text:?}");
        }
    }

    #[test]
    fn loopback_is_told_from_other_addresses() {
        let is = |text: &str| text.parse::<Endpoint>().unwrap().is_loopback();
        for text in ["127.0.0.1", "127.255.0.1", "[::1]", "[::ffff:127.0.0.1]", "localhost", "LocalHost"] {
            assert!(is(&format!("tcp://{text}:1")), "{text}");
        }
        for text in ["0.0.0.0", "[::]", "10.0.0.1", "example.org", "localhost.example.org"] {
            assert!(!is(&format!("tcp://{text}:1")), "{text}");
        }
    }
}
