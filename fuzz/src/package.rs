//! What the reader of packages must stand: any bytes, also with digests that are right.

use bulkhead_protocol::limits::MAX_LIBRARY_BYTES;
use bulkhead_protocol::package::{FORMAT_VERSION, MAGIC, Package, read_manifest, sha256, unpack};

/// Bytes in front of a package's body: magic, format and digest.
const HEADER_BYTES: usize = MAGIC.len() + size_of::<u16>() + 32;

/// Takes `bytes` apart as a package, and what is behind its header as the body of one.
///
/// # Panics
/// When a package that was taken is not what its manifest says.
pub(crate) fn read(bytes: &[u8]) {
    check(bytes);
    let body = bytes.get(HEADER_BYTES..).unwrap_or(bytes);
    // Else no change of a body would get past the digest.
    check(&[&MAGIC[..], &FORMAT_VERSION.to_le_bytes(), &sha256(body), body].concat());
}

fn check(package: &[u8]) {
    let manifest = read_manifest(package);
    let Ok(Package { manifest: unpacked, library }) = unpack(package) else { return };
    assert_eq!(manifest.expect("what can be unpacked has a manifest"), unpacked);
    assert_eq!(library.len() as u64, unpacked.library_bytes);
    assert!(unpacked.library_bytes <= MAX_LIBRARY_BYTES);
    assert_eq!(sha256(&library), unpacked.library_sha256);
}
