//! Freezes the ABI: sizes, offsets and the fields of prefix types.
//!
//! A change of this snapshot is a change of the ABI. Prefix types may gain fields at their end; anything else breaks
//! packages that people have built, and needs a new `ABI_VERSION`.

use std::{
    fmt::Write as _,
    mem::{align_of, offset_of, size_of},
};

use abi_stable::{
    abi_stability::PrefixStableAbi, library::RootModule, prefix_type::PrefixRefTrait, type_layout::TLData,
};
use bulkhead_abi::{HostRef, PluginRef, ROOT_MODULE_SYMBOL, Request, Response, Seed};

/// The fields of a prefix type in the order in which abi_stable checks them, and which of them may be absent.
fn prefix_fields<T>(text: &mut String)
where
    T: PrefixRefTrait<PrefixFields: PrefixStableAbi>,
{
    let layout = <T::PrefixFields as PrefixStableAbi>::LAYOUT;
    let TLData::PrefixType(prefix) = layout.data() else {
        panic!("{} is not a prefix type", layout.name());
    };
    let _ = writeln!(text, "{}: size {} align {}", layout.name(), layout.size(), layout.alignment());
    for (index, field) in prefix.fields.iter().enumerate() {
        let optional = index >= usize::from(prefix.first_suffix_field);
        let types: Vec<String> = field
            .function_range()
            .iter()
            // The rest of abi_stable's text numbers the lifetimes.
            .filter_map(|function| function.to_string().lines().next().map(str::to_owned))
            .collect();
        let _ = writeln!(text, "  {}{}: {}", field.name(), if optional { " (optional)" } else { "" }, types.join(" "));
    }
}

#[test]
fn the_layout_is_frozen() {
    let mut text = String::new();
    let _ = writeln!(text, "version {}", PluginRef::VERSION_STRINGS.version);
    macro_rules! describe {
        ($type:ty { $($field:ident),* }) => {
            let _ = writeln!(
                text,
                "{}: size {} align {}",
                stringify!($type),
                size_of::<$type>(),
                align_of::<$type>()
            );
            $(let _ = writeln!(text, "  {} at {}", stringify!($field), offset_of!($type, $field));)*
        };
    }
    describe!(Request<'static> {
        encoding, attempt, deadline_ns, task_id, input, config, output, host
    });
    describe!(Response { kind, length });
    describe!(Seed { bytes });
    prefix_fields::<PluginRef>(&mut text);
    prefix_fields::<HostRef>(&mut text);
    insta::assert_snapshot!(text);
}

#[test]
fn the_root_module_symbol_is_the_one_abi_stable_looks_up() {
    assert_eq!(ROOT_MODULE_SYMBOL, abi_stable::library::ROOT_MODULE_LOADER_NAME);
}
