//! What concerns dispatcher and workers: the mode, and the join key.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Config, Error};
use crate::link::JoinKey;

/// Longest namespace in bytes: it is part of every key.
const MAX_NAMESPACE_BYTES: usize = 64;

/// Most bytes that are read of a file with a join key; a key is shorter.
const MAX_KEY_FILE_BYTES: u64 = 4096;

/// Where queued tasks run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// In the dispatcher's own process.
    #[default]
    Local,
    /// On workers, which ask for tasks.
    Pull,
    /// On workers, which are sent tasks.
    Push,
}

impl Mode {
    /// The word on the command line and in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Pull => "pull",
            Self::Push => "push",
        }
    }
}

impl Config {
    /// Checks what concerns dispatcher and workers.
    pub(super) fn check_link(&self) -> Result<(), Error> {
        let refused = |key: &str, reason: String| Err(Error::Value { key: key.to_owned(), reason });
        if self.join_key.is_some() && self.join_key_file.is_some() {
            return refused("join_key", "join_key_file is set as well, and only one of them can count".to_owned());
        }
        if let Some(key) = &self.join_key {
            read_key("join_key", key.expose())?;
        }
        let namespace = &self.redis_namespace;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !(1..=MAX_NAMESPACE_BYTES).contains(&namespace.len()) || !namespace.bytes().all(fits) {
            let reason = format!("{namespace:?} is not 1 to {MAX_NAMESPACE_BYTES} letters, digits and -_.");
            return refused("redis_namespace", reason);
        }
        Ok(())
    }

    /// The join key, read from its file where it is in one; none when none is set.
    ///
    /// # Errors
    /// [`Error::JoinKeyFile`], and [`Error::Value`] for a text that is no join key.
    pub fn read_join_key(&self) -> Result<Option<JoinKey>, Error> {
        match (&self.join_key, &self.join_key_file) {
            (Some(key), _) => read_key("join_key", key.expose()).map(Some),
            (None, Some(path)) => read_key("join_key_file", &read_key_file(path)?).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// The join key of a dispatcher that listens for workers as configured.
    ///
    /// # Errors
    /// [`Error::JoinKeyNeeded`] for an address beyond this machine without one, and what
    /// [`Config::read_join_key`] fails with.
    pub fn dispatcher_join_key(&self) -> Result<Option<JoinKey>, Error> {
        let key = self.read_join_key()?;
        if key.is_none() && !self.dispatcher_host.to_canonical().is_loopback() {
            return Err(Error::JoinKeyNeeded { host: self.dispatcher_host });
        }
        Ok(key)
    }
}

fn read_key_file(path: &Path) -> Result<String, Error> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_KEY_FILE_BYTES).read_to_string(&mut text));
    read.map(|_| text).map_err(|source| Error::JoinKeyFile { path: path.to_owned(), source })
}

fn read_key(name: &str, text: &str) -> Result<JoinKey, Error> {
    JoinKey::from_text(text).map_err(|error| Error::Value {
        key: name.to_owned(),
        reason: format!("{error}; `head -c 32 /dev/urandom | base64` makes one"),
    })
}
