//! Reading the arguments of a call.
//!
//! In JSON they come as an object by name or an array by position; in bincode as a tuple. Either way the fault that a
//! caller sees names the argument: `args.b[2].width`.

mod absent;
mod json;
mod tuple;

use serde_path_to_error::{Path, Segment};

pub(crate) use tuple::Arguments;

use crate::codec;

/// Arguments that do not fit the function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InvalidInput {
    /// Which part of the input, from `args` on.
    pub(crate) path: String,
    /// What was expected there and what was found.
    pub(crate) message: String,
}

impl InvalidInput {
    /// About the input as a whole.
    fn whole(message: impl Into<String>) -> Self {
        Self { path: "args".to_owned(), message: message.into() }
    }
}

/// Reads `input` as JSON. An empty one is no arguments.
pub(crate) fn from_json<A: Arguments>(input: &[u8], names: &[&'static str]) -> Result<A, InvalidInput> {
    json::decode(input, names)
}

/// Reads `input` as a bincode tuple.
pub(crate) fn from_bincode<A: Arguments>(input: &[u8], names: &[&'static str]) -> Result<A, InvalidInput> {
    match codec::decode(input) {
        Ok(Ok(arguments)) => Ok(arguments),
        Ok(Err(left)) => Err(InvalidInput::whole(format!(
            "expected the {} arguments and nothing more, found {left} bytes after them",
            names.len()
        ))),
        Err(fault) => Err(InvalidInput { path: path_text(&fault.path, names), message: fault.message }),
    }
}

/// A path as people write it, with the positions of arguments turned into their names.
fn path_text(path: &Path, names: &[&'static str]) -> String {
    let mut text = "args".to_owned();
    for (depth, segment) in path.iter().enumerate() {
        match segment {
            Segment::Seq { index } => match names.get(*index) {
                Some(name) if depth == 0 => text.extend([".", name]),
                _ => text.push_str(&format!("[{index}]")),
            },
            Segment::Map { key } | Segment::Enum { variant: key } => text.extend([".", key]),
            Segment::Unknown => text.push_str(".?"),
        }
    }
    text
}

#[cfg(test)]
mod tests;
