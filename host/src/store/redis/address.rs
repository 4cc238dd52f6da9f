//! The store's URL: what it may look like, and what it says.

use redis::{ConnectionInfo, IntoConnectionInfo, TlsCertificates, io::tcp::TcpSettings};

use crate::store::types::Error;

/// Longest name of a namespace in bytes.
const MAX_NAMESPACE_BYTES: usize = 64;

/// Where a sentinel listens unless the URL says otherwise.
const SENTINEL_PORT: u16 = 26_379;

/// A URL, taken apart.
pub(super) struct Address {
    /// The URL without its password.
    pub(super) shown: String,
    /// What stands there.
    pub(super) topology: Topology,
    /// Where to begin: the server itself, sentinels, or nodes of a cluster. At least one.
    pub(super) nodes: Vec<ConnectionInfo>,
    /// The namespace, when the URL has one.
    pub(super) namespace: Option<String>,
    /// Certificates to trust in place of the system's.
    pub(super) certificates: Option<TlsCertificates>,
    /// Whether the connections are encrypted.
    pub(super) is_tls: bool,
}

/// What stands behind a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Topology {
    /// One server.
    Single,
    /// Sentinels that know where the master with a name is.
    Sentinel {
        /// The name.
        master: String,
    },
    /// A cluster.
    Cluster,
}

/// A URL cut at its separators.
struct Parts<'a> {
    userinfo: &'a str,
    hosts: &'a str,
    path: &'a str,
    query: &'a str,
}

impl Address {
    /// Takes a URL apart; reads the file of certificates when it names one.
    ///
    /// # Errors
    /// [`Error::Address`] with what would be right.
    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        Self::parse_with(url).map_err(|reason| Error::Address { url: without_password(url), reason })
    }

    fn parse_with(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or("it has no scheme; write redis://HOST:PORT")?;
        let parts = Parts::of(rest);
        let (namespace, ca) = query(parts.query)?;
        let is_tls = scheme.starts_with("rediss");
        let base = if is_tls { "rediss" } else { "redis" };
        let (topology, nodes) = match scheme {
            "redis" | "rediss" if parts.hosts.contains(',') => {
                return Err(format!(
                    "{base}:// is one server; write {base}+cluster:// or {base}+sentinel:// for several"
                ));
            }
            "redis" | "rediss" => (Topology::Single, parts.nodes(base, parts.path, None)?),
            "redis+sentinel" | "rediss+sentinel" => {
                let (master, db) = parts.path.split_once('/').unwrap_or((parts.path, ""));
                if master.is_empty() {
                    return Err(format!("the name of the master is missing: {scheme}://HOST,HOST/MASTER"));
                }
                let nodes = parts.nodes(base, db, Some(SENTINEL_PORT))?;
                (Topology::Sentinel { master: master.to_owned() }, nodes)
            }
            "redis+cluster" | "rediss+cluster" if !parts.path.is_empty() => {
                return Err("a cluster has no numbered databases; use ?namespace=NAME to share one".to_owned());
            }
            "redis+cluster" | "rediss+cluster" => (Topology::Cluster, parts.nodes(base, "", None)?),
            "redis+unix" => {
                let path = rest.split('?').next().unwrap_or_default();
                if !path.starts_with('/') {
                    return Err("write the whole path of the socket: redis+unix:///run/redis.sock".to_owned());
                }
                (Topology::Single, vec![connection(&format!("unix://{path}"))?])
            }
            _ => {
                return Err(format!(
                    "{scheme}:// is unknown; use redis://, redis+sentinel:// or redis+cluster://, each with rediss \
                     in place of redis for TLS, or redis+unix://"
                ));
            }
        };
        let certificates = match ca {
            Some(_) if !is_tls => return Err("ca= is for rediss:// only".to_owned()),
            Some(file) => {
                let read = std::fs::read(file)
                    .map_err(|error| format!("the certificates in {file} cannot be read: {error}"))?;
                Some(TlsCertificates { client_tls: None, root_cert: Some(read) })
            }
            None => None,
        };
        Ok(Self { shown: without_password(url), topology, nodes, namespace, certificates, is_tls })
    }
}

impl<'a> Parts<'a> {
    fn of(rest: &'a str) -> Self {
        // The last @, as a password may hold one; before the query, which may, too.
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (userinfo, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        Self { userinfo, hosts, path: path.trim_end_matches('/'), query }
    }

    /// The hosts, each as the library understands it.
    fn nodes(&self, base: &str, db: &str, default_port: Option<u16>) -> Result<Vec<ConnectionInfo>, String> {
        let at = if self.userinfo.is_empty() { "" } else { "@" };
        let mut nodes = Vec::new();
        for host in self.hosts.split(',') {
            if host.is_empty() {
                return Err("a host is missing".to_owned());
            }
            let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
            let port = default_port.filter(|_| !has_port).map(|port| format!(":{port}")).unwrap_or_default();
            nodes.push(connection(&format!("{base}://{}{at}{host}{port}/{db}", self.userinfo))?);
        }
        Ok(nodes)
    }
}

fn connection(url: &str) -> Result<ConnectionInfo, String> {
    // What the library says of a URL may quote it with its password.
    let info = url.into_connection_info().map_err(|_| "host, port, database or password cannot be read".to_owned())?;
    // Nagle's delays would add up: the answers of one command decide over the next.
    Ok(info.set_tcp_settings(TcpSettings::default().set_nodelay(true)))
}

/// The namespace and the file of certificates that a query names.
fn query(query: &str) -> Result<(Option<String>, Option<&str>), String> {
    let (mut namespace, mut ca) = (None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=').unwrap_or((pair, "")) {
            ("namespace", name) => namespace = Some(name.to_owned()),
            ("ca", file) => ca = Some(file),
            (name, _) => return Err(format!("{name:?} is unknown after the ?; there are namespace= and ca=")),
        }
    }
    Ok((namespace, ca))
}

/// Checks a namespace: braces would end the hash tag that keeps its keys together.
pub(super) fn check_namespace(namespace: &str) -> Result<(), String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=MAX_NAMESPACE_BYTES).contains(&namespace.len()) && namespace.chars().all(is_plain) {
        return Ok(());
    }
    Err(format!("a namespace has 1 to {MAX_NAMESPACE_BYTES} letters, digits, '-', '_' and '.'"))
}

/// A URL to show: with its user but without its password.
pub(super) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let Some((userinfo, rest)) = rest.rsplit_once('@') else { return url.to_owned() };
    match userinfo.split_once(':') {
        Some((user, _)) => format!("{scheme}://{user}:***@{rest}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use redis::ConnectionAddr;

    use super::*;

    fn addresses(url: &str) -> Vec<String> {
        Address::parse(url).unwrap().nodes.iter().map(|node| node.addr().to_string()).collect()
    }

    #[test]
    fn every_form_is_understood() {
        assert_eq!(addresses("redis://10.0.0.1"), ["10.0.0.1:6379"]);
        assert_eq!(addresses("redis://:p%40ss@[::1]:7000/3"), ["::1:7000"]);
        assert_eq!(addresses("redis+sentinel://a,b:1,[::1]/main"), ["a:26379", "b:1", "::1:26379"]);
        assert_eq!(addresses("redis+cluster://u:p@a:1,b:2?namespace=x"), ["a:1", "b:2"]);
        let unix = Address::parse("redis+unix:///run/redis.sock?namespace=x").unwrap();
        assert_eq!(*unix.nodes[0].addr(), ConnectionAddr::Unix("/run/redis.sock".into()));
        assert_eq!(unix.namespace.as_deref(), Some("x"));
        let sentinel = Address::parse("rediss+sentinel://user:p%40ss@a/main/2").unwrap();
        assert_eq!(sentinel.topology, Topology::Sentinel { master: "main".to_owned() });
        let redis = sentinel.nodes[0].redis_settings();
        assert_eq!((redis.username(), redis.password(), redis.db()), (Some("user"), Some("p@ss"), 2));
        assert!(sentinel.is_tls);
    }

    #[test]
    fn wrong_forms_are_refused_with_the_right_one_and_without_the_password() {
        let wrong = [
            ("localhost:6379", "redis://HOST:PORT"),
            ("http://u:secret@a", "redis+cluster://"),
            ("redis://u:secret@a,b", "redis+cluster://"),
            ("redis+sentinel://u:secret@a", "HOST/MASTER"),
            ("redis+cluster://u:secret@a/1", "no numbered databases"),
            ("redis://u:secret@", "a host is missing"),
            ("redis://u:secret@a:port", "cannot be read"),
            ("redis://u:secret@a/one", "cannot be read"),
            ("redis://u:secret@a?namspace=x", "namspace"),
            ("redis://u:secret@a?ca=/f", "rediss"),
            ("rediss://u:secret@a?ca=/nowhere", "/nowhere"),
            ("redis+unix://run/redis.sock", "redis+unix:///"),
        ];
        for (url, expected) in wrong {
            let Err(error) = Address::parse(url) else { panic!("{url} was taken") };
            let text = format!("{error} {error:?}");
            assert!(text.contains(expected), "{url}: {text}");
            assert!(!text.contains("secret"), "{url}: {text}");
        }
        assert_eq!(without_password("redis://:se@c/ret@a/1"), "redis://:***@a/1");
    }

    #[test]
    fn namespaces_at_and_beyond_their_bounds() {
        assert!(check_namespace(&"a".repeat(MAX_NAMESPACE_BYTES)).is_ok());
        for wrong in ["", "a{b", "a}b", "a b", "é", &"a".repeat(MAX_NAMESPACE_BYTES + 1)] {
            assert!(check_namespace(wrong).is_err(), "{wrong:?} was taken");
        }
    }
}
