//! System calls by architecture. The tables of both are compiled and tested everywhere.

/// An architecture that Bulkhead runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arch {
    X86_64,
    Aarch64,
}

impl Arch {
    /// This machine's.
    pub(super) const NATIVE: Self = if cfg!(target_arch = "x86_64") { Self::X86_64 } else { Self::Aarch64 };

    /// `AUDIT_ARCH_…`, linux/audit.h: how a filter sees it.
    pub(super) const fn audit_number(self) -> u32 {
        match self {
            Self::X86_64 => 0xC000_003E,
            Self::Aarch64 => 0xC000_00B7,
        }
    }

    /// The newest call that our tables know.
    pub(super) fn newest(self) -> u32 {
        let number = match self {
            Self::X86_64 => syscalls::x86_64::Sysno::last().id(),
            Self::Aarch64 => syscalls::aarch64::Sysno::last().id(),
        };
        number.unsigned_abs()
    }
}

/// A system call and its number on each architecture that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) name: &'static str,
    pub(super) x86_64: Option<u32>,
    pub(super) aarch64: Option<u32>,
}

impl Call {
    /// Its number, where the architecture has it.
    pub(super) const fn number(self, arch: Arch) -> Option<u32> {
        match arch {
            Arch::X86_64 => self.x86_64,
            Arch::Aarch64 => self.aarch64,
        }
    }
}

/// A [`Call`] by its name; only the named architecture's where one is named.
macro_rules! sys {
    ($name:ident) => {
        Call {
            name: stringify!($name),
            x86_64: Some(syscalls::x86_64::Sysno::$name as u32),
            aarch64: Some(syscalls::aarch64::Sysno::$name as u32),
        }
    };
    (x86_64 $name:ident) => {
        Call { name: stringify!($name), x86_64: Some(syscalls::x86_64::Sysno::$name as u32), aarch64: None }
    };
    (aarch64 $name:ident) => {
        Call { name: stringify!($name), x86_64: None, aarch64: Some(syscalls::aarch64::Sysno::$name as u32) }
    };
}
pub(super) use sys;
