//! What runs behind a server: how tasks get to workers, and what remembers them.

/// How tasks get to workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They run in the server itself.
    Local,
    /// Workers ask for them.
    Pull,
    /// Workers are sent them.
    Push,
}

impl Mode {
    /// The word of the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Pull => "pull",
            Self::Push => "push",
        }
    }
}

/// What remembers tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A folder of the server.
    Embedded,
    /// A Redis server.
    Redis,
    /// A Redis Cluster of three nodes.
    RedisCluster,
}

/// What runs behind a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// How tasks get to workers.
    pub mode: Mode,
    /// What remembers tasks.
    pub store: Backend,
}

impl Setting {
    /// One process, as a user has it who says `bulkhead up` and nothing else.
    pub const ALONE: Self = Self { mode: Mode::Local, store: Backend::Embedded };

    /// Whether calls run in the very process that answers requests.
    pub fn runs_where_it_answers(self) -> bool {
        self.mode == Mode::Local
    }
}
