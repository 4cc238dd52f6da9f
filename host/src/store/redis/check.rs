//! What kind of server it is: refused when it is too old, and warned about when it may lose what it
//! acknowledged.

use redis::{InfoDict, cmd};

use super::link::Link;
use crate::store::types::Error;

/// The oldest version that has all commands in use (`XADD NOMKSTREAM`). Valkey says one of Redis that it
/// equals.
const OLDEST: (u32, u32) = (6, 2);

/// Looks at the server.
///
/// # Errors
/// [`Error::Unavailable`] when it is too old.
pub(super) async fn check(link: &Link) -> Result<(), Error> {
    let info: InfoDict = link.ask_owner(cmd("INFO").to_owned()).await?;
    let version: String = info.get("redis_version").unwrap_or_default();
    if !is_supported(&version) {
        let (major, minor) = OLDEST;
        return Err(Error::Unavailable {
            reason: format!("Redis {version} is too old: {major}.{minor} or later is needed, or Valkey"),
        });
    }
    let is_appending = info.get::<u8>("aof_enabled") == Some(1);
    // Not every server lets its configuration be read; then nothing is said.
    let mut config = cmd("CONFIG");
    config.arg("GET").arg("save");
    let save: Option<Vec<String>> = link.ask_owner(config).await.ok();
    let is_saving = save.is_none_or(|save| save.get(1).is_none_or(|save| !save.is_empty()));
    if !is_appending && !is_saving {
        tracing::warn!("Redis has neither appendonly nor save on: acknowledged tasks will not survive its restart");
    }
    let policy: String = info.get("maxmemory_policy").unwrap_or_default();
    if !matches!(policy.as_str(), "noeviction" | "") {
        tracing::warn!(policy, "Redis may evict tasks when its memory is full: maxmemory-policy should be noeviction");
    }
    Ok(())
}

fn is_supported(version: &str) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= OLDEST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_at_and_below_the_oldest() {
        for enough in ["6.2.0", "6.10.1", "7.0.15", "10.0.0"] {
            assert!(is_supported(enough), "{enough} was refused");
        }
        for old in ["6.0.16", "5.9.9", "", "unknown"] {
            assert!(!is_supported(old), "{old} was taken");
        }
    }
}
