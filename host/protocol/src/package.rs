//! The package file, `NAME.bhpkg`.
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | magic, `BULKHEAD` |
//! | 2 | format version, little-endian |
//! | 32 | SHA-256 of all that follows |
//! | rest | bincode of [`Manifest`], then of the zstd-compressed cdylib as a byte string |
//!
//! The package's id is the SHA-256 of the whole file.

use std::io::Read;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::codec;
use crate::id::PackageId;
use crate::limits::{MAX_LIBRARY_BYTES, MAX_PACKAGE_BYTES};

/// First bytes of every package.
pub const MAGIC: [u8; 8] = *b"BULKHEAD";
/// The format that this code writes and the only one that it reads.
pub const FORMAT_VERSION: u16 = 1;
const HEADER_BYTES: usize = MAGIC.len() + 2 + 32;
/// zstd's own default level: higher ones cost seconds on a large cdylib and save few percent.
const ZSTD_LEVEL: i32 = 3;

/// What a package says of itself without being loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The crate's name.
    pub name: String,
    /// The crate's version.
    pub version: String,
    /// The architecture as Rust names it, as `x86_64`.
    pub arch: String,
    /// The ABI that the cdylib was built against.
    pub abi_version: u32,
    /// The SDK's version.
    pub sdk_version: String,
    /// The newest glibc symbol version that the cdylib needs, as `2.34`; none when it needs none.
    pub glibc: Option<String>,
    /// Shared libraries that the cdylib names, by soname.
    pub needed: Vec<String>,
    /// JSON text of the [`crate::function::PackageDescription`] that the cdylib gave at build. For
    /// people and listings: registration asks the cdylib again, inside a sandbox.
    pub description: String,
    /// SHA-256 of the uncompressed cdylib.
    pub library_sha256: [u8; 32],
    /// Size of the uncompressed cdylib in bytes.
    pub library_bytes: u64,
}

/// A package taken apart, its digests verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// What it says of itself.
    pub manifest: Manifest,
    /// The uncompressed cdylib.
    pub library: Vec<u8>,
}

/// Why bytes are not a package.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Larger than [`MAX_PACKAGE_BYTES`].
    #[error("the package has {bytes} bytes, the limit is {MAX_PACKAGE_BYTES}")]
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// The first bytes are not [`MAGIC`].
    #[error("not a Bulkhead package: the file does not begin with BULKHEAD (make one with `bulkhead build`)")]
    NotAPackage,
    /// The file ends inside the header or the body.
    #[error("the package is truncated: {detail}")]
    Truncated {
        /// Where.
        detail: String,
    },
    /// Written in a format that this version does not read.
    #[error(
        "package format {found} is not known here, only {FORMAT_VERSION} is: rebuild it with this version's `bulkhead build`"
    )]
    UnknownFormat {
        /// The format's number.
        found: u16,
    },
    /// The digest of the body is not the one in the header.
    #[error("the package is damaged: its SHA-256 does not match its header (truncated or changed on the way)")]
    DigestMismatch,
    /// The body's digest is right but its contents are not a manifest and a library.
    #[error("the package's manifest cannot be read")]
    Malformed(#[source] codec::Error),
    /// The library unpacks to other than what the manifest says.
    #[error("the package's library is not what its manifest says: {detail}")]
    LibraryMismatch {
        /// What differs.
        detail: String,
    },
    /// The library is larger than [`MAX_LIBRARY_BYTES`].
    #[error("the package's library has {bytes} bytes, the limit is {MAX_LIBRARY_BYTES}")]
    LibraryTooLarge {
        /// Its size.
        bytes: u64,
    },
}

/// SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The id of the package with these bytes.
pub fn id_of(package: &[u8]) -> PackageId {
    PackageId(sha256(package))
}

/// Writes a package. `manifest.library_sha256` and `library_bytes` are set from `library`.
///
/// # Errors
/// [`Error::LibraryTooLarge`] and [`Error::TooLarge`] at the bounds.
pub fn pack(mut manifest: Manifest, library: &[u8]) -> Result<Vec<u8>, Error> {
    manifest.library_bytes = library.len() as u64;
    manifest.library_sha256 = sha256(library);
    if manifest.library_bytes > MAX_LIBRARY_BYTES {
        return Err(Error::LibraryTooLarge { bytes: manifest.library_bytes });
    }
    let compressed = zstd::bulk::compress(library, ZSTD_LEVEL)
        .map_err(|error| Error::LibraryMismatch { detail: error.to_string() })?;
    let body = codec::encode(&(&manifest, serde_bytes::Bytes::new(&compressed))).map_err(Error::Malformed)?;
    let mut package = Vec::with_capacity(HEADER_BYTES + body.len());
    package.extend_from_slice(&MAGIC);
    package.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    package.extend_from_slice(&sha256(&body));
    package.extend_from_slice(&body);
    let bytes = package.len() as u64;
    if bytes > MAX_PACKAGE_BYTES { Err(Error::TooLarge { bytes }) } else { Ok(package) }
}

/// Takes a package apart and verifies every digest in it. Runs nothing of it.
///
/// # Errors
/// Each way in which bytes are no package has its own variant.
pub fn unpack(package: &[u8]) -> Result<Package, Error> {
    let (manifest, compressed) = read_body(package)?;
    if manifest.library_bytes > MAX_LIBRARY_BYTES {
        return Err(Error::LibraryTooLarge { bytes: manifest.library_bytes });
    }
    let mismatch = |detail: String| Error::LibraryMismatch { detail };
    // The manifest's size bounds the decoder's output, so a small file cannot unpack without end.
    let mut library = Vec::new();
    zstd::stream::Decoder::new(compressed.as_slice())
        .and_then(|decoder| decoder.take(manifest.library_bytes + 1).read_to_end(&mut library))
        .map_err(|error| mismatch(error.to_string()))?;
    if library.len() as u64 != manifest.library_bytes {
        return Err(mismatch(format!("it does not have {} bytes", manifest.library_bytes)));
    }
    if sha256(&library) != manifest.library_sha256 {
        return Err(mismatch("its SHA-256 differs".to_owned()));
    }
    Ok(Package { manifest, library })
}

/// Reads a package's manifest and verifies the digest of the whole, without unpacking the library.
///
/// # Errors
/// As [`unpack`], but for what concerns the library.
pub fn read_manifest(package: &[u8]) -> Result<Manifest, Error> {
    read_body(package).map(|(manifest, _)| manifest)
}

fn read_body(package: &[u8]) -> Result<(Manifest, Vec<u8>), Error> {
    let bytes = package.len() as u64;
    if bytes > MAX_PACKAGE_BYTES {
        return Err(Error::TooLarge { bytes });
    }
    let magic = &package[..package.len().min(MAGIC.len())];
    if magic.is_empty() || !MAGIC.starts_with(magic) {
        return Err(Error::NotAPackage);
    }
    let Some((header, body)) = package.split_at_checked(HEADER_BYTES) else {
        return Err(Error::Truncated { detail: format!("{bytes} bytes are less than its header's {HEADER_BYTES}") });
    };
    let found = u16::from_le_bytes([header[8], header[9]]);
    if found != FORMAT_VERSION {
        return Err(Error::UnknownFormat { found });
    }
    if sha256(body) != header[10..] {
        return Err(Error::DigestMismatch);
    }
    let (manifest, compressed): (Manifest, serde_bytes::ByteBuf) = codec::decode(body).map_err(Error::Malformed)?;
    Ok((manifest, compressed.into_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn manifest() -> Manifest {
        Manifest {
            name: "sample".to_owned(),
            version: "1.2.3".to_owned(),
            arch: "x86_64".to_owned(),
            abi_version: 1,
            sdk_version: "0.1.0".to_owned(),
            glibc: Some("2.34".to_owned()),
            needed: vec!["libc.so.6".to_owned()],
            description: "{}".to_owned(),
            library_sha256: [0; 32],
            library_bytes: 0,
        }
    }

    #[test]
    fn a_package_reads_back_as_written() {
        let library = vec![7; 100_000];
        let package = pack(manifest(), &library).unwrap();
        let read = unpack(&package).unwrap();
        assert_eq!(read.library, library);
        assert_eq!(read.manifest.library_bytes, 100_000);
        assert_eq!(read_manifest(&package).unwrap(), read.manifest);
    }

    #[test]
    fn each_kind_of_damage_has_its_own_error() {
        let package = pack(manifest(), b"library").unwrap();
        assert!(matches!(unpack(b""), Err(Error::NotAPackage)));
        assert!(matches!(unpack(b"\x7fELF"), Err(Error::NotAPackage)));
        assert!(matches!(unpack(&package[..20]), Err(Error::Truncated { .. })));
        assert!(matches!(unpack(&package[..package.len() - 1]), Err(Error::DigestMismatch)));
        let mut newer = package.clone();
        newer[8] = 9;
        assert!(matches!(unpack(&newer), Err(Error::UnknownFormat { found: 9 })));
    }

    /// Builds a package whose header is right and whose body is as given.
    fn with_body(body: &[u8]) -> Vec<u8> {
        [&MAGIC[..], &FORMAT_VERSION.to_le_bytes(), &sha256(body), body].concat()
    }

    #[test]
    fn a_library_that_lies_about_its_size_is_refused() {
        let bomb = zstd::bulk::compress(&vec![0; 10_000_000], 3).unwrap();
        let lie = Manifest { library_bytes: 10, ..manifest() };
        let body = codec::encode(&(&lie, serde_bytes::Bytes::new(&bomb))).unwrap();
        assert!(matches!(unpack(&with_body(&body)), Err(Error::LibraryMismatch { .. })));
        let huge = Manifest { library_bytes: MAX_LIBRARY_BYTES + 1, ..manifest() };
        let body = codec::encode(&(&huge, serde_bytes::Bytes::new(&bomb))).unwrap();
        assert!(matches!(unpack(&with_body(&body)), Err(Error::LibraryTooLarge { .. })));
        assert!(matches!(unpack(&with_body(b"nonsense")), Err(Error::Malformed(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = unpack(&bytes);
            let _ = unpack(&with_body(&bytes));
        }

        #[test]
        fn no_single_flipped_bit_goes_unnoticed(position in 0usize..2000) {
            let mut package = pack(manifest(), &[1, 2, 3]).unwrap();
            let position = position % (package.len() * 8);
            package[position / 8] ^= 1 << (position % 8);
            prop_assert!(unpack(&package).is_err());
        }
    }
}
