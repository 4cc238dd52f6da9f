//! Checks that a function can be called from outside, and takes its parameters apart.

use proc_macro2::Ident;
use quote::ToTokens;
use syn::{FnArg, ItemFn, Pat, ReturnType, Signature, Type, ext::IdentExt};

/// The most arguments of a function: serde implements its traits for tuples of up to this many.
const MAX_ARGUMENTS: usize = 16;

/// One parameter of the function, in its place.
pub(crate) enum Parameter<'a> {
    /// `&Context`.
    Context,
    /// An argument that callers give, with its name for them.
    Argument { name: String, ty: &'a Type },
}

/// The parameters in order, or every fault of the signature at once.
pub(crate) fn parameters(function: &ItemFn) -> syn::Result<Vec<Parameter<'_>>> {
    let signature = &function.sig;
    let mut faults = Faults::default();
    check_qualifiers(signature, &mut faults);
    check_output(signature, &mut faults);

    let mut parameters = Vec::new();
    for input in &signature.inputs {
        match parameter(input) {
            Ok(Parameter::Context) if parameters.iter().any(|known| matches!(known, Parameter::Context)) => {
                faults.push(input, "a function takes `&Context` once");
            }
            Ok(parameter) => parameters.push(parameter),
            Err(fault) => faults.0.push(fault),
        }
    }
    let arguments = parameters.iter().filter(|parameter| matches!(parameter, Parameter::Argument { .. })).count();
    if arguments > MAX_ARGUMENTS {
        faults.push(&signature.inputs, "a function takes at most 16 arguments; put some of them into a struct");
    }
    faults.into_result().map(|()| parameters)
}

#[derive(Default)]
struct Faults(Vec<syn::Error>);

impl Faults {
    /// Adds a fault of all of `tokens`: on stable Rust, a span alone shows the first of them.
    fn push(&mut self, tokens: impl ToTokens, message: &str) {
        self.0.push(syn::Error::new_spanned(tokens, message));
    }

    fn into_result(self) -> syn::Result<()> {
        self.0
            .into_iter()
            .reduce(|mut all, one| {
                all.combine(one);
                all
            })
            .map_or(Ok(()), Err)
    }
}

fn check_qualifiers(signature: &Signature, faults: &mut Faults) {
    if let Some(token) = &signature.asyncness {
        faults.push(token, "async functions are not supported: each call has a process of its own, so block freely");
    }
    if let Some(token) = &signature.abi {
        faults.push(token, "functions must have the Rust ABI");
    }
    if let syn::Safety::Unsafe(token) = &signature.safety {
        faults.push(token, "unsafe functions cannot be called from outside, where nobody can keep their contract");
    }
    if !signature.generics.params.is_empty() || signature.generics.where_clause.is_some() {
        let message = "generic functions are not supported: callers send data, not types";
        if signature.generics.params.is_empty() {
            faults.push(&signature.generics.where_clause, message);
        } else {
            faults.push(&signature.generics.params, message);
        }
    }
    if let Some(variadic) = &signature.variadic {
        faults.push(variadic, "variadic functions are not supported");
    }
}

fn check_output(signature: &Signature, faults: &mut Faults) {
    let ReturnType::Type(_, ty) = &signature.output else {
        return;
    };
    match &**ty {
        Type::ImplTrait(_) => faults.push(ty, "results need a nameable type: `impl Trait` has no schema"),
        Type::Reference(reference) if reference.lifetime.as_ref().is_none_or(|lifetime| lifetime.ident != "static") => {
            faults.push(ty, "results must be owned, or `&'static`");
        }
        _ => {}
    }
}

fn parameter(input: &FnArg) -> syn::Result<Parameter<'_>> {
    let typed = match input {
        FnArg::Receiver(receiver) => {
            return Err(syn::Error::new_spanned(receiver, "methods are not supported: make it a free function"));
        }
        FnArg::Typed(typed) => typed,
    };
    let ty = &*typed.ty;
    match ty {
        Type::Reference(reference) => {
            return if reference.mutability.is_none() && is_context(&reference.elem) {
                Ok(Parameter::Context)
            } else {
                Err(syn::Error::new_spanned(
                    ty,
                    "arguments must be owned, for they come from outside; only `&bulkhead::Context` is \
                     borrowed",
                ))
            };
        }
        Type::ImplTrait(_) => {
            return Err(syn::Error::new_spanned(
                ty,
                "arguments need a concrete type: `impl Trait` cannot be read from JSON",
            ));
        }
        ty if is_context(ty) => {
            return Err(syn::Error::new_spanned(ty, "the context is borrowed: write `&bulkhead::Context`"));
        }
        _ => {}
    }
    Ok(Parameter::Argument { name: argument_name(&typed.pat)?.unraw().to_string(), ty })
}

fn argument_name(pattern: &Pat) -> syn::Result<&Ident> {
    match pattern {
        Pat::Ident(ident) if ident.by_ref.is_none() && ident.subpat.is_none() => Ok(&ident.ident),
        other => Err(syn::Error::new_spanned(
            other,
            "arguments need a name, by which callers give them; take patterns apart inside the function",
        )),
    }
}

/// Whether a type is the SDK's context, by the last part of its path: a macro sees no types.
fn is_context(ty: &Type) -> bool {
    matches!(ty, Type::Path(path)
        if path.path.segments.last().is_some_and(|last| last.ident == "Context"))
}
