//! A machine of Debian's kernel under software emulation: what it is made of, and what it says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bulkhead_tests::{Executables, LONG, run_within};

/// How long the machine may take from its start to its end; two minutes on two shared cores.
const MACHINE_TIMEOUT: Duration = Duration::from_secs(1200);
/// Its memory in MiB: the root with the executables, and calls with the default limit.
const MEMORY: &str = "2560";
/// Version 2 alone, and as quiet as can be: the console is slow.
const KERNEL_ARGUMENTS: &str = "console=ttyS0 quiet loglevel=1 panic=-1 cgroup_no_v1=all mitigations=off";
/// What the guest needs of the system's folders beside libraries.
const PROGRAMS: [&str; 1] = ["busybox"];

/// Where the parts are, or what is missing to get them.
pub(crate) struct Parts {
    qemu: PathBuf,
    busybox: PathBuf,
    /// Kept between runs.
    folder: PathBuf,
}

impl Parts {
    /// Looks for the programs.
    pub(crate) fn find() -> Result<Self, String> {
        let find = |name: &str| {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
        };
        let missing = |name: &str, package: &str| format!("{name} is missing (apt-get install {package})");
        let qemu = find("qemu-system-x86_64").ok_or_else(|| missing("qemu-system-x86_64", "qemu-system-x86"))?;
        let [busybox] = PROGRAMS.map(find);
        let busybox = busybox.ok_or_else(|| missing("busybox", "busybox-static"))?;
        find("cpio").ok_or_else(|| missing("cpio", "cpio"))?;
        find("apt-get").ok_or("there is no apt-get to fetch Debian's kernel with")?;
        Ok(Self { qemu, busybox, folder: Path::new(env!("CARGO_TARGET_TMPDIR")).join("cgroup2") })
    }

    /// Debian's kernel: fetched as a package once, and unpacked here rather than installed.
    pub(crate) fn kernel(&self) -> Result<PathBuf, String> {
        let unpacked = self.folder.join("kernel");
        let find = || {
            let mut files = fs::read_dir(unpacked.join("boot")).into_iter().flatten().flatten();
            files.find(|file| file.file_name().to_string_lossy().starts_with("vmlinuz")).map(|file| file.path())
        };
        if let Some(kernel) = find() {
            return Ok(kernel);
        }
        fs::create_dir_all(&self.folder).map_err(|error| error.to_string())?;
        // The package of that name depends on the one with the kernel.
        let fetch = "set -e; rm -f linux-image-*.deb; \
                     name=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \\(linux-image-.*\\)/\\1/p' | head -n 1); \
                     test -n \"$name\"; apt-get download -qq \"$name\"; dpkg -x linux-image-*.deb kernel";
        let mut shell = Command::new("sh");
        shell.args(["-c", fetch]).current_dir(&self.folder);
        let ended = run_within(shell, b"", LONG);
        find().ok_or_else(|| format!("Debian's kernel cannot be fetched: {}", ended.stderr.trim()))
    }

    /// Packs what the guest starts with.
    pub(crate) fn initramfs(&self, executables: &Executables, packages: &Path) -> PathBuf {
        let root = self.folder.join("root");
        let _ = fs::remove_dir_all(&root);
        for folder in ["bin", "etc", "lib64"] {
            fs::create_dir_all(root.join(folder)).expect("a folder");
        }
        let sh = |script: &str, arguments: &[&Path]| {
            let mut shell = Command::new("sh");
            shell.args(["-ec", script, "sh"]).args(arguments).current_dir(&root);
            run_within(shell, b"", LONG).expect(0);
        };
        let bin = root.join("bin");
        for (program, name) in [(&executables.bulkhead, "bulkhead"), (&executables.runner, "bulkhead-runner")] {
            // Most of an executable is for debuggers.
            sh("strip -o \"$2\" \"$1\" || cp \"$1\" \"$2\"", &[program, &bin.join(name)]);
        }
        // The interpreter and each library, at the path by which the executables name them.
        let libraries = "for program; do ldd \"$program\"; done | grep -o '/[^ ]*' | sort -u | \
                         while read -r file; do mkdir -p \".${file%/*}\"; cp -L \"$file\" \".$file\"; done";
        sh(libraries, &[&bin.join("bulkhead"), &bin.join("bulkhead-runner")]);
        // What a plugin may need beside them is looked for in the system's folders.
        sh(
            "cp \"$1\" bin/busybox; for name in $(bin/busybox --list); do [ -e bin/$name ] || ln -s busybox bin/$name; done",
            &[&self.busybox],
        );
        sh("cp -r \"$1\" packages", &[packages]);
        let users = "root:x:0:0::/tmp:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n";
        fs::write(root.join("etc/passwd"), users).expect("a file");
        fs::write(root.join("etc/group"), "root:x:0:\nuser:x:1000:\n").expect("a file");
        let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("cgroup2/guest.sh");
        fs::copy(&guest, root.join("guest.sh")).expect("a file");
        std::os::unix::fs::symlink("/guest.sh", root.join("init")).expect("a link");
        sh("find . | cpio --quiet -o -H newc | gzip -1 > ../initramfs.gz", &[]);
        self.folder.join("initramfs.gz")
    }

    /// Runs the machine to its end and returns what it said on its console, which can be followed in a file.
    pub(crate) fn run(&self, kernel: &Path, initramfs: &Path) -> String {
        let console = self.folder.join("console");
        println!("its console: {}", console.display());
        let mut qemu = Command::new(&self.qemu);
        qemu.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", MEMORY]);
        qemu.args(["-nodefaults", "-display", "none", "-no-reboot", "-serial"]);
        qemu.arg(format!("file:{}", console.display()));
        qemu.arg("-kernel").arg(kernel).arg("-initrd").arg(initramfs).args(["-append", KERNEL_ARGUMENTS]);
        run_within(qemu, b"", MACHINE_TIMEOUT).expect(0);
        // Lines of a serial console end with both.
        String::from_utf8_lossy(&fs::read(&console).expect("the console")).replace('\r', "")
    }
}
