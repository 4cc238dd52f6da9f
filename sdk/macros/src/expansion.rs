//! Writes the registration next to the untouched function.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Attribute, Expr, ItemFn, ReturnType, ext::IdentExt, spanned::Spanned};

use crate::{
    options::Options,
    signature::{self, Parameter},
};

/// The whole attribute: the function as it was, and a registration or the reasons why there is none.
pub(crate) fn expand(options: TokenStream, item: TokenStream) -> TokenStream {
    let registration = syn::parse2::<ItemFn>(item.clone())
        .map_err(|fault| syn::Error::new(fault.span(), "`#[bulkhead::function]` goes on a free function with a body"))
        .and_then(|function| registration(Options::parse(options)?, &function))
        // The function is emitted all the same, so that its callers see no errors that follow from this one.
        .unwrap_or_else(|fault| fault.into_compile_error());
    quote! { #item #registration }
}

fn registration(options: Options, function: &ItemFn) -> syn::Result<TokenStream> {
    let parameters = signature::parameters(function)?;
    let declaration = declaration(&options, function, &parameters);
    let conditions = function.attrs.iter().filter(|attribute| attribute.path().is_ident("cfg"));

    // The compiler's complaints about the types of arguments and results point to the signature.
    let at_inputs = function.sig.inputs.span().resolved_at(Span::call_site());
    let ident = &function.sig.ident;
    let mut types = Vec::new();
    let mut values = Vec::new();
    let mut bindings = Vec::new();
    for parameter in &parameters {
        match parameter {
            Parameter::Context => values.push(quote_spanned! { at_inputs => context }),
            Parameter::Argument { ty, .. } => {
                // Names of our own: those of the author may be raw, or shadow each other's.
                let binding = format_ident!("argument_{}", bindings.len());
                values.push(quote! { #binding });
                bindings.push(binding);
                types.push(ty);
            }
        }
    }
    let output = match &function.sig.output {
        ReturnType::Default => quote! { () },
        ReturnType::Type(_, ty) => quote! { #ty },
    };
    let at_output = function.sig.output.span().resolved_at(Span::call_site());
    let call = quote_spanned! { at_inputs =>
        |context, (#(#bindings,)*): (#(#types,)*)| {
            let _ = context;
            #ident(#(#values),*)
        }
    };
    let kind = quote_spanned! { at_output => (&&&&&Returns::<#output>::new()).kind() };
    Ok(quote! {
        const _: () = {
            #(#conditions)*
            #[::bulkhead::__private::linkme::distributed_slice(::bulkhead::__private::FUNCTIONS)]
            #[linkme(crate = ::bulkhead::__private::linkme)]
            static FUNCTION: ::bulkhead::__private::Descriptor =
                ::bulkhead::__private::Descriptor::new(#declaration, |task| {
                    use ::bulkhead::__private::returns::*;
                    ::bulkhead::__private::serve(task, #kind, #call)
                });
        };
    })
}

fn declaration(options: &Options, function: &ItemFn, parameters: &[Parameter<'_>]) -> TokenStream {
    let name = options.name.as_ref().map_or_else(|| function.sig.ident.unraw().to_string(), syn::LitStr::value);
    let documentation = documentation(&function.attrs);
    let names = parameters.iter().filter_map(|parameter| match parameter {
        Parameter::Context => None,
        Parameter::Argument { name, .. } => Some(name),
    });
    let Options { name: _, timeout_ms, memory_bytes, cpu_ms, threads, tmp_bytes, isolation, network, processes, jit } =
        options;
    let timeout_ms = optional(timeout_ms.as_ref());
    let memory_bytes = optional(memory_bytes.as_ref());
    let cpu_ms = optional(cpu_ms.as_ref());
    let threads = optional(threads.as_ref());
    let tmp_bytes = optional(tmp_bytes.as_ref());
    let isolation = optional(isolation.as_ref());
    let network = optional(network.as_ref());
    let processes = optional(processes.as_ref());
    let jit = optional(jit.as_ref());
    quote! {
        ::bulkhead::__private::Declaration {
            name: #name,
            documentation: #documentation,
            parameters: &[#(#names),*],
            location: ::core::concat!(::core::file!(), ":", ::core::line!()),
            limits: ::bulkhead::__private::Limits {
                timeout_ms: #timeout_ms,
                memory_bytes: #memory_bytes,
                cpu_ms: #cpu_ms,
                threads: #threads,
                tmp_bytes: #tmp_bytes,
            },
            isolation: #isolation,
            network: #network,
            processes: #processes,
            jit: #jit,
        }
    }
}

/// An option as an expression, for `quote` would write the value alone.
fn optional(value: Option<&impl ToTokens>) -> TokenStream {
    match value {
        Some(value) => quote! { ::core::option::Option::Some(#value) },
        None => quote! { ::core::option::Option::None },
    }
}

/// The doc comment as one expression; lines may be macros, as in `#[doc = include_str!("…")]`.
fn documentation(attributes: &[Attribute]) -> TokenStream {
    let mut parts = Vec::new();
    for attribute in attributes {
        let syn::Meta::NameValue(pair) = &attribute.meta else {
            continue;
        };
        if !pair.path.is_ident("doc") {
            continue;
        }
        if !parts.is_empty() {
            parts.push(quote! { "\n" });
        }
        match &pair.value {
            Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(line), .. }) => {
                let line = line.value();
                let line = line.strip_prefix(' ').unwrap_or(&line);
                parts.push(quote! { #line });
            }
            other => parts.push(quote! { #other }),
        }
    }
    quote! { ::core::concat!(#(#parts),*) }
}
