//! Names of system calls, for outcomes.

use syscalls::Sysno;

/// The name of a system call of this architecture, or its number where it is newer than our table.
pub(super) fn of(number: u32) -> String {
    match Sysno::new(number as usize) {
        Some(call) => call.name().to_owned(),
        None => format!("system call {number}"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn known_calls_have_names_and_others_numbers() {
        assert_eq!(super::of(libc::SYS_ptrace as u32), "ptrace");
        assert_eq!(super::of(libc::SYS_landlock_create_ruleset as u32), "landlock_create_ruleset");
        assert_eq!(super::of(u32::MAX), "system call 4294967295");
    }
}
