//! A folder in which everything happens that a command does which starts clusters of its own: its temporary
//! files too, so that what it leaves behind is found.

use std::fs;
use std::path::{Path, PathBuf};

use bulkhead_tests::{CommandLine, Daemon, Ended, LONG, eventually, eventually_within};
use tempfile::TempDir;

use crate::surroundings::{executables, packages};

/// The folder.
pub(crate) struct Place {
    folder: TempDir,
    /// The command that is tested.
    command: &'static str,
}

impl Place {
    /// A new folder for a command.
    pub(crate) fn new(command: &'static str) -> Self {
        // Everything that it compiles is there already.
        packages();
        let folder = tempfile::Builder::new().prefix("bulkhead-test-place-").tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("tmp")).expect("a folder");
        Self { folder, command }
    }

    /// A file in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What runs commands in it.
    pub(crate) fn command_line(&self) -> CommandLine {
        CommandLine::new(executables(), self.folder.path()).variable("TMPDIR", self.path("tmp"))
    }

    /// Runs the command to its end.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        self.command_line().run(&[&[self.command], arguments].concat())
    }

    /// Begins one that is to be disturbed.
    pub(crate) fn begin(&self, arguments: &[&str]) -> Daemon {
        Daemon::start(self.command_line().command(&[&[self.command], arguments].concat()))
    }

    /// Checks that nothing is left: no process that knows of the folder, and no files of clusters.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        self.assert_no_process();
        let folder = self.path("tmp");
        let files: Vec<_> = fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()).collect();
        assert!(files.is_empty(), "{files:?}");
    }

    /// Checks that no process is left that knows of the folder.
    #[track_caller]
    pub(crate) fn assert_no_process(&self) {
        let folder = self.path("tmp");
        eventually("no process is left", || {
            let left = processes_that_know(&folder);
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        });
    }
}

/// Waits until a command that was begun has said something. One that ends before has failed.
#[track_caller]
pub(crate) fn wait_for(begun: &mut Daemon, said: &str) {
    eventually_within(LONG, "a step of a command", || {
        let (ended, log) = (begun.ended(), begun.log());
        match ended {
            _ if log.contains(said) => Ok(()),
            Some(status) => panic!("it ended before it said {said:?}: {status}: {log}"),
            None => Err(log),
        }
    });
}

/// The command lines of processes that have a folder in their arguments or in their environment.
fn processes_that_know(folder: &Path) -> Vec<String> {
    let folder = folder.to_string_lossy().into_owned();
    let entries = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let read = |path: PathBuf| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).ok();
    let lines = entries.filter_map(|entry| {
        let line = read(entry.path().join("cmdline"))?;
        let environment = read(entry.path().join("environ")).unwrap_or_default();
        (line.contains(&folder) || environment.contains(&folder)).then_some(line)
    });
    lines.collect()
}
