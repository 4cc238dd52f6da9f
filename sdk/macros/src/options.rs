//! What stands in the parentheses of `#[bulkhead::function(…)]`.

use proc_macro2::{Span, TokenStream};
use syn::{
    Ident, LitBool, LitInt, LitStr, Token,
    parse::{Parse, ParseStream},
    punctuated::Punctuated,
};

use crate::units;

/// The most bytes in a function's name: it travels in URLs and file names.
const MAX_NAME_BYTES: usize = 64;

/// The options that an author gave; an absent one is the host's default.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) name: Option<LitStr>,
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) cpu_ms: Option<u64>,
    pub(crate) threads: Option<u64>,
    pub(crate) tmp_bytes: Option<u64>,
    pub(crate) isolation: Option<String>,
    pub(crate) network: Option<bool>,
    pub(crate) processes: Option<bool>,
    pub(crate) jit: Option<bool>,
}

/// The names of all options, for the message about an unknown one.
const NAMES: &str = "name, timeout, memory, cpu, threads, tmp, isolation, network, processes, jit";

impl Options {
    pub(crate) fn parse(tokens: TokenStream) -> syn::Result<Self> {
        let entries = syn::parse::Parser::parse2(Punctuated::<Entry, Token![,]>::parse_terminated, tokens)?;
        let mut options = Self::default();
        let mut seen = Vec::new();
        for Entry { key, value } in entries {
            let name = key.to_string();
            if seen.contains(&name) {
                return Err(syn::Error::new(key.span(), format!("`{name}` is given twice")));
            }
            options.set(&name, key.span(), value)?;
            seen.push(name);
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, span: Span, value: Value) -> syn::Result<()> {
        match name {
            "name" => self.name = Some(value.name()?),
            "timeout" => self.timeout_ms = Some(value.quantity(units::duration_ms)?),
            "cpu" => self.cpu_ms = Some(value.quantity(units::duration_ms)?),
            "memory" => self.memory_bytes = Some(value.quantity(units::size_bytes)?),
            "tmp" => self.tmp_bytes = Some(value.quantity(units::size_bytes)?),
            "threads" => self.threads = Some(value.count()?),
            "isolation" => self.isolation = Some(value.isolation()?),
            "network" => self.network = Some(value.boolean()?),
            "processes" => self.processes = Some(value.boolean()?),
            "jit" => self.jit = Some(value.boolean()?),
            _ => {
                return Err(syn::Error::new(span, format!("unknown option `{name}`; there are {NAMES}")));
            }
        }
        Ok(())
    }
}

/// One `key = value`.
struct Entry {
    key: Ident,
    value: Value,
}

impl Parse for Entry {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let key = input.parse()?;
        input.parse::<Token![=]>()?;
        let value = if input.peek(LitStr) {
            Value::Text(input.parse()?)
        } else if input.peek(LitInt) {
            Value::Number(input.parse()?)
        } else if input.peek(LitBool) {
            Value::Boolean(input.parse()?)
        } else {
            return Err(input.error("expected a string, a whole number, `true` or `false`"));
        };
        Ok(Self { key, value })
    }
}

enum Value {
    Text(LitStr),
    Number(LitInt),
    Boolean(LitBool),
}

impl Value {
    fn span(&self) -> Span {
        match self {
            Self::Text(literal) => literal.span(),
            Self::Number(literal) => literal.span(),
            Self::Boolean(literal) => literal.span(),
        }
    }

    fn expected(&self, what: &str) -> syn::Error {
        syn::Error::new(self.span(), format!("expected {what}"))
    }

    fn text(&self, what: &str) -> syn::Result<&LitStr> {
        match self {
            Self::Text(literal) => Ok(literal),
            _ => Err(self.expected(what)),
        }
    }

    fn quantity(&self, read: fn(&str) -> Result<u64, String>) -> syn::Result<u64> {
        let literal = self.text("a string with a unit, such as \"5s\" or \"64MiB\"")?;
        read(&literal.value()).map_err(|message| syn::Error::new(literal.span(), message))
    }

    fn count(&self) -> syn::Result<u64> {
        let Self::Number(literal) = self else {
            return Err(self.expected("a whole number"));
        };
        match literal.base10_parse()? {
            0 => Err(self.expected("at least 1: the function itself runs on a thread")),
            count => Ok(count),
        }
    }

    fn boolean(&self) -> syn::Result<bool> {
        match self {
            Self::Boolean(literal) => Ok(literal.value),
            _ => Err(self.expected("`true` or `false`")),
        }
    }

    fn isolation(&self) -> syn::Result<String> {
        let what = "one of \"fresh\", \"reuse\" and \"exec\"";
        let literal = self.text(what)?;
        match literal.value() {
            value if ["fresh", "reuse", "exec"].contains(&value.as_str()) => Ok(value),
            _ => Err(self.expected(what)),
        }
    }

    fn name(&self) -> syn::Result<LitStr> {
        let literal = self.text("a name in quotes")?;
        let value = literal.value();
        let starts_well = value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if starts_well && value.len() <= MAX_NAME_BYTES && value.chars().all(allowed) {
            Ok(literal.clone())
        } else {
            Err(self.expected("a name of up to 64 letters, digits, `_` and `-` that starts with a letter or `_`"))
        }
    }
}
