//! What the system libraries of this machine offer to plugins: the same files that the sandbox
//! shows to a runner. Read once per process and library.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use super::elf::{Image, lossy};

/// Libraries that a plugin may need: the C library in its parts, libgcc's unwinder and the
/// dynamic linker. Nothing else is there inside the sandbox.
pub(super) const ALLOWED: [&str; 8] = [
    "libc.so.6",
    "libm.so.6",
    "libgcc_s.so.1",
    "libdl.so.2",
    "libpthread.so.0",
    "librt.so.1",
    "ld-linux-x86-64.so.2",
    "ld-linux-aarch64.so.1",
];

/// What one library offers.
pub(super) struct Offer {
    /// The names that it exports.
    pub(super) symbols: HashSet<Vec<u8>>,
    /// The versions that it defines, as `GLIBC_2.34`.
    pub(super) versions: HashSet<String>,
}

/// Where distributions keep the C library: Debian's folders first, then those of the others.
fn folders() -> [PathBuf; 6] {
    let debian = format!("{}-linux-gnu", std::env::consts::ARCH);
    let [lib, usr] = [Path::new("/lib"), Path::new("/usr/lib")];
    [lib.join(&debian), usr.join(debian), "/lib64".into(), "/usr/lib64".into(), lib.into(), usr.into()]
}

/// What an allowed library of this machine offers; `None` when it is not here.
pub(super) fn offer(soname: &str) -> Option<Arc<Offer>> {
    type Known = Mutex<HashMap<&'static str, Option<Arc<Offer>>>>;
    static KNOWN: LazyLock<Known> = LazyLock::new(Known::default);

    let soname = *ALLOWED.iter().find(|allowed| **allowed == soname)?;
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.entry(soname).or_insert_with(|| read(soname).map(Arc::new)).clone()
}

/// The newest `GLIBC_x.y` that this machine's C library defines, as `(x, y)`. A version is missing
/// here exactly when nothing can be linked against it, which `gnu_get_libc_version` does not tell.
pub(super) fn glibc() -> Option<(u32, u32)> {
    offer("libc.so.6")?.versions.iter().filter_map(|version| glibc_version(version)).max()
}

/// Reads `GLIBC_2.34` as `(2, 34)`, and `GLIBC_2.2.5` as `(2, 2)`.
pub(super) fn glibc_version(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.strip_prefix("GLIBC_")?.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

fn read(soname: &str) -> Option<Offer> {
    // A 32-bit library of the same name may stand in /lib; it does not parse, and the search goes on.
    folders().iter().find_map(|folder| {
        let data = std::fs::read(folder.join(soname)).ok()?;
        let image = Image::parse(&data).ok()?;
        let symbols = image.exports().map(<[u8]>::to_vec).collect();
        let versions = image.defined_versions().into_iter().map(lossy).collect();
        Some(Offer { symbols, versions })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_c_library_of_this_machine_offers_what_it_is_known_for() {
        let libc = offer("libc.so.6").unwrap();
        assert!(libc.symbols.contains(b"malloc".as_slice()));
        assert!(libc.versions.contains("GLIBC_2.17"));
        assert!(glibc().unwrap() >= (2, 17));
        assert!(offer("libz.so.1").is_none());
    }

    #[test]
    fn versions_compare_as_numbers() {
        assert_eq!(glibc_version("GLIBC_2.2.5"), Some((2, 2)));
        assert!(glibc_version("GLIBC_2.9") < glibc_version("GLIBC_2.34"));
        assert_eq!(glibc_version("GLIBC_PRIVATE"), None);
        assert_eq!(glibc_version("GCC_3.0"), None);
    }
}
