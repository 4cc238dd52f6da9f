//! A server that cannot start says why, in words, and exits with 1.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use bulkhead_tests::{
    CommandLine, Ended, Launch, Member, Options, SHORT, cgroups_of, eventually, is_root, require_or_skip, run_within,
    unused_port,
};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::surroundings::{executables, start};

struct Setting {
    folder: TempDir,
    command_line: CommandLine,
}

fn setting() -> Setting {
    let folder = TempDir::new().expect("a temporary folder");
    let command_line = CommandLine::new(executables(), folder.path());
    Setting { folder, command_line }
}

impl Setting {
    #[track_caller]
    fn refused(&self, arguments: &[&str]) -> Ended {
        let arguments = [&["up", "--port", "0"], arguments].concat();
        let ended = run_within(self.command_line.command(&arguments), b"", SHORT).expect(1);
        assert_eq!(ended.stdout, "");
        assert!(!ended.stderr.contains("panicked") && !ended.stderr.contains("listening"), "{}", ended.stderr);
        ended
    }

    /// Starts it with a configuration file that has to be refused.
    #[track_caller]
    fn refused_config(&self, text: &str) -> String {
        fs::write(self.folder.path().join("bulkhead.toml"), text).expect("a file");
        self.refused(&[]).stderr
    }
}

#[track_caller]
fn contains_all(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in: {text}");
    }
}

#[test]
fn more_slots_than_the_hard_limit_on_open_files_has_room_for() {
    let setting = setting();
    let inner = setting.command_line.command(&["up", "--port", "0", "--slots", "64"]);
    let mut command = std::process::Command::new("prlimit");
    command.arg("--nofile=300").arg("--").arg(inner.get_program()).args(inner.get_args());
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = inner.get_current_dir() {
        command.current_dir(folder);
    }
    let ended = run_within(command, b"", SHORT).expect(1);
    contains_all(&ended.stderr, &["64 slots", "hard limit is 300", "needs 592", "ulimit -Hn"]);
}

#[test]
fn unknown_and_wrong_settings() {
    let setting = setting();
    contains_all(&setting.refused_config("prot = 1\n"), &["bulkhead.toml", "prot", "unknown field", "line 1"]);
    contains_all(&setting.refused_config("[gateway]\nwiat = \"1s\"\n"), &["bulkhead.toml", "wiat", "wait"]);
    contains_all(&setting.refused_config("port = \"many\"\n"), &["bulkhead.toml", "many", "u16"]);
    contains_all(&setting.refused_config("grace = \"soon\"\n"), &["soon", "30s"]);
    contains_all(
        &setting.refused_config("defaults.timeout = \"0s\"\n"),
        &["defaults.timeout", "zero or above its cap"],
    );
    contains_all(&setting.refused_config("port = \n"), &["bulkhead.toml", "line 1"]);
    fs::remove_file(setting.folder.path().join("bulkhead.toml")).expect("it is there");
    contains_all(&setting.refused(&["--config", "none.toml"]).stderr, &["failed to read", "none.toml", "No such file"]);
    contains_all(&setting.refused(&["--nonsense"]).stderr, &["--nonsense", "--help"]);
    contains_all(&setting.refused(&["--host", "0.0.0.0"]).stderr, &["0.0.0.0", "--allow-unauthenticated"]);
    let variable = |name, value| {
        let command_line = setting.command_line.clone().variable(name, value);
        run_within(command_line.command(&["up"]), b"", SHORT).expect(1).stderr
    };
    contains_all(&variable("BULKHEAD_PROT", "1"), &["BULKHEAD_PROT is not known", "BULKHEAD_PORT"]);
    contains_all(&variable("BULKHEAD_PORT", "many"), &["BULKHEAD_PORT"]);
    assert_eq!(fs::read_dir(setting.folder.path()).expect("it is there").count(), 0, "something was made");
}

#[test]
fn a_port_in_use() {
    let server = start(Options::default());
    let port = server.url().rsplit(':').next().expect("a port").to_owned();
    let setting = setting();
    let refused = run_within(setting.command_line.command(&["up", "--port", &port]), b"", SHORT).expect(1).stderr;
    contains_all(&refused, &[&format!("127.0.0.1:{port}"), "the port is in use", "--port 0"]);
    assert!(!setting.folder.path().join("bulkhead-data").exists(), "a folder was made before the port was had");
    server.client().get("/healthz").expect(200);
}

#[test]
fn a_worker_whose_dispatcher_does_not_come_leaves_nothing_behind_when_it_is_ended() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let folder = TempDir::new().expect("a temporary folder");
        fs::create_dir(folder.path().join("tmp")).expect("a folder");
        let endpoint = format!("tcp://127.0.0.1:{}", unused_port());
        let arguments = ["worker", "pull", "1", &endpoint, "--data", "data"];
        let mut worker = Member::start("a worker", Launch::new(executables(), folder.path(), arguments));
        worker.wait_for(&format!("waiting for the dispatcher at {endpoint}"));
        let (pid, processes) = (worker.pid(), worker.processes());
        worker.signal(signal);
        let status = worker.wait();
        assert_eq!(status.code(), Some(0), "{status}:\n{}", worker.log());
        for process in processes {
            eventually("processes of a worker end with it", || process.is_gone());
        }
        assert_eq!(cgroups_of(pid), BTreeSet::new(), "control groups are left");
    }
}

#[test]
fn a_data_folder_in_use() {
    let server = start(Options::default());
    let data = server.folder().join("data/front");
    let data = data.to_str().expect("UTF-8");
    contains_all(&setting().refused(&["--data", data]).stderr, &[data, "another server"]);
    server.client().get("/readyz").expect(200);
    server.stop();
}

#[test]
fn a_data_folder_that_is_none_or_cannot_be_written() {
    let setting = setting();
    let at = |name: &str| setting.folder.path().join(name).to_str().expect("UTF-8").to_owned();
    fs::write(at("file"), "").expect("a file");
    contains_all(&setting.refused(&["--data", &at("file")]).stderr, &[&at("file")]);
    contains_all(&setting.refused(&["--data", &at("file/below")]).stderr, &[&at("file/below"), "Not a directory"]);
    fs::create_dir(at("newer")).expect("a folder");
    fs::write(at("newer/FORMAT"), "99\n").expect("a file");
    contains_all(&setting.refused(&["--data", &at("newer")]).stderr, &[&at("newer"), "format 99", "newer version"]);

    fs::create_dir(at("sealed")).expect("a folder");
    let sealed = setting.folder.path().join("sealed");
    let Some(_seal) = Seal::put_on(&sealed) else { return };
    let refused = setting.refused(&["--data", &at("sealed")]).stderr;
    contains_all(&refused, &[&at("sealed")]);
    assert!(refused.contains("Read-only file system") || refused.contains("Permission denied"), "{refused}");
}

/// Keeps even root from writing to a folder, until dropped.
struct Seal<'a> {
    folder: &'a Path,
}

impl<'a> Seal<'a> {
    fn put_on(folder: &'a Path) -> Option<Self> {
        if !is_root() {
            let read_only = std::os::unix::fs::PermissionsExt::from_mode(0o555);
            fs::set_permissions(folder, read_only).expect("it is ours");
            return Some(Self { folder });
        }
        // Permissions mean nothing to root; a read-only file system does.
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "ro,size=4k", "tmpfs"]).arg(folder);
        let mounted = run_within(mount, b"", SHORT).code == Some(0);
        require_or_skip(mounted, "this root may not mount a tmpfs").then_some(Self { folder })
    }
}

impl Drop for Seal<'_> {
    fn drop(&mut self) {
        if is_root() {
            let mut unmount = std::process::Command::new("umount");
            run_within(
                {
                    unmount.arg(self.folder);
                    unmount
                },
                b"",
                SHORT,
            );
        } else {
            let writable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            let _ = fs::set_permissions(self.folder, writable);
        }
    }
}

#[test]
fn a_missing_runner() {
    let setting = setting();
    let refused = setting.refused(&["--runner", "/nowhere/runner"]).stderr;
    contains_all(&refused, &["/nowhere/runner", "cargo build", "--runner"]);
}
