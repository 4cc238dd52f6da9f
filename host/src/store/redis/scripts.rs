//! The scripts: every change of more than one key is one of them, atomic and fenced. They stand in
//! `scripts/`, each behind what it shares with others; their arguments and answers are told at the top of each.

use std::borrow::Cow;
use std::sync::LazyLock;

use redis::Cmd;

/// A script, and the digest by which a server that has it knows it.
pub(super) struct Script {
    /// The text.
    source: &'static str,
    /// SHA-1 of the text, in hexadecimal digits.
    digest: String,
}

impl Script {
    fn new(source: &'static str) -> Self {
        Self { source, digest: redis::Script::new(source).get_hash().to_owned() }
    }

    /// A call of this script with no arguments yet.
    pub(super) fn call(&self) -> Call<'_> {
        Call { script: self, arguments: Vec::new(), size: 0 }
    }
}

/// A call of a script on its way.
pub(super) struct Call<'a> {
    /// What to run.
    script: &'a Script,
    /// `ARGV`.
    arguments: Vec<Cow<'a, [u8]>>,
    /// Bytes of the arguments.
    size: usize,
}

impl<'a> Call<'a> {
    /// Adds an argument that is there already.
    pub(super) fn bytes(mut self, bytes: &'a [u8]) -> Self {
        self.push(Cow::Borrowed(bytes));
        self
    }

    /// Adds an argument that was made for the call.
    pub(super) fn text(mut self, value: impl ToString) -> Self {
        self.push(Cow::Owned(value.to_string().into_bytes()));
        self
    }

    /// Adds an argument that may be absent, which the scripts read as empty.
    pub(super) fn optional(self, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.text(value),
            None => self.bytes(b""),
        }
    }

    /// Bytes of the arguments.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The command that names the script by its digest.
    pub(super) fn by_digest(&self, prefix: &str) -> Cmd {
        self.command("EVALSHA", &self.script.digest, prefix)
    }

    /// The command that brings the script along, for a server that does not have it. Not a load of its
    /// own: in a cluster that would go to every node, and fail with any of them.
    pub(super) fn by_source(&self, prefix: &str) -> Cmd {
        self.command("EVAL", self.script.source, prefix)
    }

    fn command(&self, verb: &str, script: &str, prefix: &str) -> Cmd {
        let mut command = Cmd::with_capacity(self.arguments.len() + 4, self.size + script.len() + prefix.len() + 8);
        command.arg(verb).arg(script).arg(1).arg(prefix);
        for argument in &self.arguments {
            command.arg(argument.as_ref());
        }
        command
    }

    fn push(&mut self, argument: Cow<'a, [u8]>) {
        self.size += argument.len();
        self.arguments.push(argument);
    }
}

macro_rules! scripts {
    ($($name:ident $file:literal behind $($shared:literal)+;)+) => {
        $(
            #[doc = concat!("`", $file, "`.")]
            pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
                Script::new(concat!(
                    $(include_str!(concat!("scripts/", $shared)), "\n",)+
                    include_str!(concat!("scripts/", $file))
                ))
            });
        )+
    };
}

// Each behind no more than it needs: a server runs the whole text at every call.
scripts! {
    ADOPT "adopt.lua" behind "keys.lua" "tasks.lua" "leases.lua";
    ALIAS "alias.lua" behind "keys.lua";
    ATTEMPTS "attempts.lua" behind "keys.lua" "tasks.lua" "leases.lua";
    CANCEL "cancel.lua" behind "keys.lua" "tasks.lua";
    CLAIM "claim.lua" behind "keys.lua" "tasks.lua" "leases.lua";
    CONTROL "control.lua" behind "keys.lua" "tasks.lua";
    EXPECT_PACKAGE "expect_package.lua" behind "keys.lua";
    EXPIRE "expire.lua" behind "keys.lua";
    LEAVE "leave.lua" behind "keys.lua" "tasks.lua" "leases.lua";
    PAYLOAD "payload.lua" behind "keys.lua";
    PROGRESS "progress.lua" behind "keys.lua" "tasks.lua";
    PUBLISH_WORKERS "publish_workers.lua" behind "keys.lua";
    QUEUED "queued.lua" behind "keys.lua";
    RECOVER "recover.lua" behind "keys.lua" "tasks.lua" "leases.lua";
    REGISTER "register.lua" behind "keys.lua" "packages.lua";
    REMOVE "remove.lua" behind "keys.lua" "packages.lua";
    RENEW "renew.lua" behind "keys.lua" "tasks.lua" "leases.lua";
    RESULT "result.lua" behind "keys.lua";
    SUBMIT "submit.lua" behind "keys.lua" "tasks.lua";
    SWEEP_PACKAGES "sweep_packages.lua" behind "keys.lua" "packages.lua";
    UNEXPECT_PACKAGE "unexpect_package.lua" behind "keys.lua" "packages.lua";
    WORKERS "workers.lua" behind "keys.lua";
}
