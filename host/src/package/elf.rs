//! Reads an ELF shared object the way the dynamic linker does: from the program headers and the
//! dynamic segment alone, as section headers may say anything. Bounded and panic-free on any bytes.

use object::elf::{self, DynamicTag, FileHeader64, ProgramHeader64, Sym64, Versym};
use object::read::ReadRef as _;
use object::read::elf::{
    Dyn as _, FileHeader as _, GnuHashTable, HashTable, ProgramHeader as _, SectionHeader as _, Sym as _,
};
use object::{LittleEndian as Le, Pod};

use super::check::Error;

/// Longest symbol, library or version name that is read. Mangled C++ names reach a few thousand.
const MAX_STRING_BYTES: usize = 16 * 1024;
/// Most symbol versions that are read; libc.so.6 defines about fifty. Entries may overlap in a
/// crafted file, so their number is not bounded by its size.
const MAX_VERSIONS: usize = 4096;
/// Most entries of the dynamic segment; a plugin has about thirty. Each may name a string, and all of
/// them the same one.
const MAX_DYNAMIC: usize = 1024;
/// Most symbols that may be imported; a large plugin imports a few hundred.
const MAX_IMPORTS: usize = 64 * 1024;

/// A symbol that the file wants from elsewhere.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Import<'data> {
    /// Its name.
    pub(super) name: &'data [u8],
    /// The index of the version that it was linked against; see [`NeededVersion::index`].
    pub(super) version: u16,
}

/// A version of a library's symbols that the file was linked against.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NeededVersion<'data> {
    /// What [`Import::version`] refers to.
    pub(super) index: u16,
    /// The library's soname.
    pub(super) library: &'data [u8],
    /// The version, as `GLIBC_2.34`.
    pub(super) version: &'data [u8],
}

/// An ELF file, its tables found and their bounds checked.
pub(super) struct Image<'data> {
    /// The whole file.
    data: &'data [u8],
    /// Its header.
    header: &'data FileHeader64<Le>,
    /// What is mapped from where, and the dynamic segment.
    segments: &'data [ProgramHeader64<Le>],
    /// The entries of the dynamic segment.
    dynamic: Vec<(DynamicTag, u64)>,
    /// Names, each ended by a zero byte.
    strings: &'data [u8],
    /// The dynamic symbols.
    symbols: &'data [Sym64<Le>],
    /// The version index of each symbol; empty in a file without versions.
    versym: &'data [Versym<Le>],
}

impl<'data> Image<'data> {
    /// Finds the tables of a 64-bit little-endian ELF file, of whatever kind and architecture.
    pub(super) fn parse(data: &'data [u8]) -> Result<Self, Error> {
        let header = file_header(data)?;
        let segments = header.program_headers(Le, data).map_err(|_| {
            let end = table_end(header.e_phoff.get(Le), header.e_phnum.get(Le), header.e_phentsize.get(Le));
            truncated_or("program headers", end, data, "its program headers are malformed")
        })?;
        check_extent(header, segments, data)?;
        let mut image = Self { data, header, segments, dynamic: Vec::new(), strings: &[], symbols: &[], versym: &[] };
        image.read_dynamic()?;
        Ok(image)
    }

    /// What kind of ELF file it is.
    pub(super) fn file_type(&self) -> elf::FileType {
        self.header.e_type.get(Le)
    }

    /// The processor that it is for.
    pub(super) fn machine(&self) -> elf::Machine {
        self.header.e_machine.get(Le)
    }

    /// What is mapped from where, with its access rights.
    pub(super) fn segments(&self) -> impl Iterator<Item = (elf::ProgramType, elf::ProgramFlags)> {
        self.segments.iter().map(|segment| (segment.p_type.get(Le), segment.p_flags.get(Le)))
    }

    /// The value of the first dynamic entry with a tag.
    pub(super) fn dynamic(&self, tag: DynamicTag) -> Option<u64> {
        self.dynamic.iter().find(|(found, _)| *found == tag).map(|(_, value)| *value)
    }

    /// The texts of all dynamic entries with one of these tags, in order.
    pub(super) fn dynamic_strings(&self, tags: &[DynamicTag]) -> Result<Vec<String>, Error> {
        let entries = self.dynamic.iter().filter(|(tag, _)| tags.contains(tag));
        entries.map(|(_, offset)| self.string(*offset).map(lossy)).collect()
    }

    /// The symbols that must be found elsewhere before the file can be loaded. Weak ones may stay
    /// unresolved and are left out.
    pub(super) fn imports(&self) -> Result<Vec<Import<'data>>, Error> {
        let mut imports = Vec::new();
        // The first entry of the table means "no symbol".
        for (index, symbol) in self.symbols.iter().enumerate().skip(1) {
            if !symbol.is_undefined(Le) || symbol.st_bind() == elf::STB_WEAK || symbol.st_bind() == elf::STB_LOCAL {
                continue;
            }
            if imports.len() == MAX_IMPORTS {
                return Err(Error::Malformed { detail: format!("it imports more than {MAX_IMPORTS} symbols") });
            }
            let name = self.string(symbol.st_name.get(Le).into())?;
            imports.push(Import { name, version: self.version_index(index) });
        }
        Ok(imports)
    }

    /// The names that other files may import.
    pub(super) fn exports(&self) -> impl Iterator<Item = &'data [u8]> {
        let defined =
            self.symbols.iter().filter(|symbol| !symbol.is_undefined(Le) && symbol.st_bind() != elf::STB_LOCAL);
        defined.filter_map(|symbol| self.string(symbol.st_name.get(Le).into()).ok())
    }

    /// Whether a name is defined for others. Unlike a search in [`Self::exports`] it reads no other name.
    pub(super) fn is_exported(&self, name: &str) -> bool {
        self.symbols.iter().any(|symbol| {
            let start = usize::try_from(symbol.st_name.get(Le)).unwrap_or(usize::MAX);
            let rest = self.strings.get(start..).and_then(|strings| strings.strip_prefix(name.as_bytes()));
            rest.is_some_and(|rest| rest.first() == Some(&0))
                && !symbol.is_undefined(Le)
                && symbol.st_bind() != elf::STB_LOCAL
        })
    }

    /// The versions of other libraries' symbols that the file was linked against.
    pub(super) fn needed_versions(&self) -> Result<Vec<NeededVersion<'data>>, Error> {
        let Some(table) = self.dynamic(elf::DT_VERNEED).and_then(|address| self.at(address)) else {
            return Ok(Vec::new());
        };
        let malformed = || Error::Malformed { detail: "its table of needed versions ends too early".to_owned() };
        let mut needed = Vec::new();
        let mut position = 0u64;
        loop {
            let library = table.read_at::<elf::Verneed<Le>>(position).map_err(|()| malformed())?;
            let mut entry = position + u64::from(library.vn_aux.get(Le));
            for _ in 0..library.vn_cnt.get(Le) {
                let version = table.read_at::<elf::Vernaux<Le>>(entry).map_err(|()| malformed())?;
                needed.push(NeededVersion {
                    index: version.vna_other(Le).index().0,
                    library: self.string(library.vn_file.get(Le).into())?,
                    version: self.string(version.vna_name.get(Le).into())?,
                });
                if needed.len() > MAX_VERSIONS {
                    return Err(Error::Malformed {
                        detail: format!("it needs more than {MAX_VERSIONS} symbol versions"),
                    });
                }
                entry += u64::from(version.vna_next.get(Le));
            }
            match library.vn_next.get(Le) {
                0 => return Ok(needed),
                step => position += u64::from(step),
            }
        }
    }

    /// The versions that the file defines for its own symbols.
    pub(super) fn defined_versions(&self) -> Vec<&'data [u8]> {
        let mut defined = Vec::new();
        let Some(table) = self.dynamic(elf::DT_VERDEF).and_then(|address| self.at(address)) else { return defined };
        let mut position = 0u64;
        while let Ok(version) = table.read_at::<elf::Verdef<Le>>(position) {
            let name = table.read_at::<elf::Verdaux<Le>>(position + u64::from(version.vd_aux.get(Le)));
            if let Some(name) = name.ok().and_then(|name| self.string(name.vda_name.get(Le).into()).ok()) {
                defined.push(name);
            }
            match version.vd_next.get(Le) {
                0 => break,
                _ if defined.len() >= MAX_VERSIONS => break,
                step => position += u64::from(step),
            }
        }
        defined
    }

    fn version_index(&self, symbol: usize) -> u16 {
        // The highest bit says "hidden" and is no part of the index.
        self.versym.get(symbol).map_or(0, |version| version.0.get(Le).index().0)
    }

    fn read_dynamic(&mut self) -> Result<(), Error> {
        let malformed = |detail: &str| Error::Malformed { detail: detail.to_owned() };
        let Some(segment) = self.segments.iter().find(|segment| segment.p_type.get(Le) == elf::PT_DYNAMIC) else {
            // An object file or a static executable; the caller refuses it by its type.
            return Ok(());
        };
        let entries = segment.dynamic(Le, self.data).map_err(|_| malformed("its dynamic segment cannot be read"))?;
        let entries = entries.unwrap_or_default().iter().map(|entry| (entry.tag(Le), entry.val(Le)));
        self.dynamic = entries.take_while(|(tag, _)| *tag != elf::DT_NULL).take(MAX_DYNAMIC + 1).collect();
        if self.dynamic.len() > MAX_DYNAMIC {
            return Err(malformed(&format!("its dynamic segment has more than {MAX_DYNAMIC} entries")));
        }

        let size = self.dynamic(elf::DT_STRSZ).unwrap_or(0);
        if let Some(address) = self.dynamic(elf::DT_STRTAB) {
            let table = self.at(address).and_then(|table| table.get(..usize::try_from(size).ok()?));
            self.strings = table.ok_or_else(|| malformed("its string table lies outside of what it maps"))?;
        }
        if let Some(address) = self.dynamic(elf::DT_SYMTAB) {
            let count = self.symbol_count();
            let table = self.at(address).and_then(|table| slice::<Sym64<Le>>(table, count));
            self.symbols = table.ok_or_else(|| malformed("its symbol table lies outside of what it maps"))?;
            if let Some(address) = self.dynamic(elf::DT_VERSYM) {
                let table = self.at(address).and_then(|table| slice::<Versym<Le>>(table, count));
                self.versym = table.ok_or_else(|| malformed("its version table lies outside of what it maps"))?;
            }
        }
        Ok(())
    }

    /// The number of dynamic symbols, which only the hash tables tell.
    fn symbol_count(&self) -> usize {
        let gnu = self.dynamic(elf::DT_GNU_HASH).and_then(|address| self.at(address)).and_then(|table| {
            let table = GnuHashTable::<FileHeader64<Le>>::parse(Le, table).ok()?;
            // A table without buckets is that of a file that exports nothing: what is before its
            // base are imports.
            Some(table.symbol_table_length(Le).unwrap_or(table.symbol_base()))
        });
        let count = gnu.or_else(|| {
            let table = self.dynamic(elf::DT_HASH).and_then(|address| self.at(address))?;
            Some(HashTable::<FileHeader64<Le>>::parse(Le, table).ok()?.symbol_table_length())
        });
        count.and_then(|count| usize::try_from(count).ok()).unwrap_or(0)
    }

    /// The bytes of the file that are mapped at an address, to the end of their segment.
    fn at(&self, address: u64) -> Option<&'data [u8]> {
        self.segments.iter().filter(|segment| segment.p_type.get(Le) == elf::PT_LOAD).find_map(|segment| {
            let offset = address.checked_sub(segment.p_vaddr.get(Le))?;
            let bytes = segment.data(Le, self.data).ok()?;
            bytes.get(usize::try_from(offset).ok()?..).filter(|bytes| !bytes.is_empty())
        })
    }

    fn string(&self, offset: u64) -> Result<&'data [u8], Error> {
        let tail = usize::try_from(offset).ok().and_then(|start| self.strings.get(start..)).unwrap_or_default();
        let tail = &tail[..tail.len().min(MAX_STRING_BYTES)];
        let end = tail.iter().position(|byte| *byte == 0);
        end.map(|end| &tail[..end])
            .ok_or_else(|| Error::Malformed { detail: "it names what its string table does not hold".to_owned() })
    }
}

/// A name as text; what is no UTF-8 reads as U+FFFD.
pub(super) fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

fn file_header(data: &[u8]) -> Result<&FileHeader64<Le>, Error> {
    if !data.starts_with(&elf::ELFMAG) {
        return Err(Error::NotElf);
    }
    // Both are told before the rest of the header is read, whose layout depends on them.
    match data.get(4) {
        Some(2) | None => {}
        Some(1) => return Err(Error::WrongClass { found: "32-bit".to_owned() }),
        Some(class) => return Err(Error::WrongClass { found: format!("of the unknown class {class}") }),
    }
    match data.get(5) {
        Some(1) | None => {}
        Some(2) => return Err(Error::WrongEndianness { found: "big-endian".to_owned() }),
        Some(order) => return Err(Error::WrongEndianness { found: format!("of the unknown byte order {order}") }),
    }
    let size = size_of::<FileHeader64<Le>>() as u64;
    FileHeader64::parse(data).map_err(|_| truncated_or("file header", size, data, "its file header is malformed"))
}

/// Checks that all that the headers speak of is in the file.
fn check_extent(header: &FileHeader64<Le>, segments: &[ProgramHeader64<Le>], data: &[u8]) -> Result<(), Error> {
    let inside = |what: &'static str, (offset, size): (u64, u64)| {
        let end = offset.saturating_add(size);
        if end > data.len() as u64 { Err(Error::Truncated { what, end, bytes: data.len() as u64 }) } else { Ok(()) }
    };
    for segment in segments {
        inside("a segment", segment.file_range(Le))?;
    }
    let sections = header.section_headers(Le, data).map_err(|_| {
        let end = table_end(header.e_shoff.get(Le), header.e_shnum.get(Le), header.e_shentsize.get(Le));
        truncated_or("section headers", end, data, "its section headers are malformed")
    })?;
    for section in sections {
        if let Some(range) = section.file_range(Le) {
            inside("a section", range)?;
        }
    }
    Ok(())
}

fn table_end(offset: u64, count: u16, size: u16) -> u64 {
    offset.saturating_add(u64::from(count) * u64::from(size))
}

fn truncated_or(what: &'static str, end: u64, data: &[u8], otherwise: &str) -> Error {
    let bytes = data.len() as u64;
    if end > bytes { Error::Truncated { what, end, bytes } } else { Error::Malformed { detail: otherwise.to_owned() } }
}

fn slice<T: Pod>(bytes: &[u8], count: usize) -> Option<&[T]> {
    bytes.read_slice_at(0, count).ok()
}
