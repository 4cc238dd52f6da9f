//! Exporting the root module from a cdylib.

/// The header through which abi_stable finds and checks a root module.
pub type RootModuleHeader = abi_stable::library::LibHeader;

/// Exports `$plugin`, a `fn() -> PluginRef`, as the root module of the cdylib that is being linked.
///
/// abi_stable's own attribute emits `#[no_mangle]`, which edition 2024 refuses, so its expansion is written out here.
/// The SDK invokes this once; function authors never do.
#[macro_export]
macro_rules! export_plugin {
    ($plugin:path) => {
        /// The symbol that the runner looks up.
        #[expect(unsafe_code, reason = "exporting a symbol by name is what makes a cdylib a plugin")]
        // SAFETY: the name is reserved for this use by abi_stable, and its type is the one that loaders expect there.
        #[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
        pub static BULKHEAD_ROOT_MODULE: $crate::RootModuleHeader = {
            extern "C" fn constructor() -> $crate::__private::abi_stable::library::RootModuleResult {
                $crate::__private::abi_stable::library::__call_root_module_loader($plugin)
            }
            // SAFETY: the constructor returns what it made from a `PluginRef`, the type that is named here.
            unsafe {
                $crate::RootModuleHeader::from_constructor::<$crate::PluginRef>(
                    constructor,
                    $crate::__private::abi_stable::library::CheckTypeLayout::Yes,
                )
            }
        };
    };
}
