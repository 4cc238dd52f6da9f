//! Arguments from JSON, by name or by position.

use std::{cell::Cell, fmt, marker::PhantomData};

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{
    Arguments, InvalidInput, path_text,
    tuple::{Elements, Values},
};

/// Reads all of `input`.
pub(super) fn decode<A: Arguments>(input: &[u8], names: &[&'static str]) -> Result<A, InvalidInput> {
    let reader = Reader::<A>::new(names);
    if input.trim_ascii().is_empty() {
        return reader.finish_slots(A::slots()).map_err(|message| {
            let path = reader.place.take();
            InvalidInput { path: path.unwrap_or_else(|| "args".to_owned()), message }
        });
    }
    // The path of a fault costs time, so it is looked for when there is one.
    let mut json = serde_json::Deserializer::from_slice(input);
    if let Ok(arguments) = (&reader).deserialize(&mut json) {
        return match json.end() {
            Ok(()) => Ok(arguments),
            Err(fault) => Err(InvalidInput::whole(fault.to_string())),
        };
    }
    reader.place.take();
    let mut json = serde_json::Deserializer::from_slice(input);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    (&reader).deserialize(tracked).map_err(|fault| InvalidInput {
        path: reader.place.take().unwrap_or_else(|| path_text(&track.path(), names)),
        message: fault.to_string(),
    })
}

/// Fills the slots of `A` from whatever shape the arguments come in.
struct Reader<'n, A> {
    names: &'n [&'static str],
    /// Where the fault is, when it is one of ours: an argument that is missing has no place in the input to track.
    place: Cell<Option<String>>,
    arguments: PhantomData<A>,
}

impl<'n, A: Arguments> Reader<'n, A> {
    fn new(names: &'n [&'static str]) -> Self {
        Self { names, place: Cell::new(None), arguments: PhantomData }
    }

    fn finish_slots(&self, slots: A::Slots) -> Result<A, String> {
        A::finish(slots).map_err(|index| {
            let name = self.names.get(index).copied().unwrap_or_default();
            self.place.set(Some(format!("args.{name}")));
            format!("the argument `{name}` is missing")
        })
    }

    /// The names that there are, for the message about one that there is not.
    fn known_names(&self) -> String {
        if self.names.is_empty() {
            "the function takes none".to_owned()
        } else {
            format!("expected {}", self.names.join(", "))
        }
    }
}

impl<'de, A: Arguments> DeserializeSeed<'de> for &Reader<'_, A> {
    type Value = A;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<A, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, A: Arguments> Visitor<'de> for &Reader<'_, A> {
    type Value = A;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of arguments by name or an array by position")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<A, E> {
        self.finish_slots(A::slots()).map_err(E::custom)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<A, M::Error> {
        let mut slots = A::slots();
        while let Some(key) = map.next_key::<String>()? {
            let Some(index) = self.names.iter().position(|name| *name == key) else {
                self.place.set(Some(format!("args.{key}")));
                return Err(M::Error::custom(format!("there is no argument `{key}`: {}", self.known_names())));
            };
            if A::is_filled(&slots, index) {
                self.place.set(Some(format!("args.{key}")));
                return Err(M::Error::custom(format!("the argument `{key}` is given twice")));
            }
            A::fill(&mut slots, index, Values(&mut map))?;
        }
        self.finish_slots(slots).map_err(M::Error::custom)
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut sequence: S) -> Result<A, S::Error> {
        let mut slots = A::slots();
        for index in 0..self.names.len() {
            if !A::fill(&mut slots, index, Elements(&mut sequence))? {
                return self.finish_slots(slots).map_err(S::Error::custom);
            }
        }
        if sequence.next_element::<IgnoredAny>()?.is_some() {
            self.place.set(Some("args".to_owned()));
            return Err(S::Error::custom(format!("expected at most {} arguments, found more", self.names.len())));
        }
        self.finish_slots(slots).map_err(S::Error::custom)
    }
}
