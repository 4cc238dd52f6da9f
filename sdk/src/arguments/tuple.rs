//! Tuples of arguments, of every length that serde knows.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, DeserializeOwned, MapAccess, SeqAccess};

use super::absent;

/// A type that callers can send: it reads itself from JSON and bincode, and has a schema.
///
/// Derive [`serde::Deserialize`] and [`schemars::JsonSchema`].
pub trait Argument: DeserializeOwned + JsonSchema {}

impl<T: DeserializeOwned + JsonSchema> Argument for T {}

/// The arguments of one function. Implemented for tuples of up to 16.
pub trait Arguments: DeserializeOwned {
    /// Those that were read so far.
    type Slots;

    /// None yet.
    fn slots() -> Self::Slots;

    /// Reads the argument at position `index` from `source`; `false` when the source is at its end.
    ///
    /// # Errors
    ///
    /// When it does not fit its type.
    fn fill<'de, S: Source<'de>>(slots: &mut Self::Slots, index: usize, source: S) -> Result<bool, S::Error>;

    /// Whether the argument at position `index` was read.
    fn is_filled(slots: &Self::Slots, index: usize) -> bool;

    /// All of them, or the position of one that is missing and may not be.
    ///
    /// # Errors
    ///
    /// The position.
    fn finish(slots: Self::Slots) -> Result<Self, usize>;

    /// The schema of each argument, and whether it has to be given. `generate` is called with a schema's maker.
    fn schemas(generate: &mut dyn FnMut(fn(&mut SchemaGenerator) -> Schema, bool));
}

/// Where the next argument comes from.
pub trait Source<'de> {
    /// Why it could not be read.
    type Error;

    /// Reads one value, unless this is the end.
    ///
    /// # Errors
    ///
    /// When it does not fit `T`.
    fn next<T: Deserialize<'de>>(self) -> Result<Option<T>, Self::Error>;
}

/// The values of an object.
pub(super) struct Values<'a, M>(pub(super) &'a mut M);

impl<'de, M: MapAccess<'de>> Source<'de> for Values<'_, M> {
    type Error = M::Error;

    fn next<T: Deserialize<'de>>(self) -> Result<Option<T>, M::Error> {
        self.0.next_value().map(Some)
    }
}

/// The elements of an array.
pub(super) struct Elements<'a, S>(pub(super) &'a mut S);

impl<'de, S: SeqAccess<'de>> Source<'de> for Elements<'_, S> {
    type Error = S::Error;

    fn next<T: Deserialize<'de>>(self) -> Result<Option<T>, S::Error> {
        self.0.next_element()
    }
}

macro_rules! tuples {
    ($($($T:ident $index:tt),*;)*) => {$(
        impl<$($T: Argument),*> Arguments for ($($T,)*) {
            type Slots = ($(Option<$T>,)*);

            fn slots() -> Self::Slots {
                ($(None::<$T>,)*)
            }

            fn fill<'de, S: Source<'de>>(
                slots: &mut Self::Slots,
                index: usize,
                source: S,
            ) -> Result<bool, S::Error> {
                match index {
                    $($index => {
                        let value = source.next()?;
                        let found = value.is_some();
                        slots.$index = value;
                        Ok(found)
                    })*
                    _ => Ok(false),
                }
            }

            fn is_filled(slots: &Self::Slots, index: usize) -> bool {
                match index {
                    $($index => slots.$index.is_some(),)*
                    _ => false,
                }
            }

            fn finish(slots: Self::Slots) -> Result<Self, usize> {
                Ok(($(slots.$index.or_else(absent::value).ok_or::<usize>($index)?,)*))
            }

            fn schemas(generate: &mut dyn FnMut(fn(&mut SchemaGenerator) -> Schema, bool)) {
                $(generate(SchemaGenerator::subschema_for::<$T>, absent::value::<$T>().is_none());)*
            }
        }
    )*};
}

tuples! {
    A 0;
    A 0, B 1;
    A 0, B 1, C 2;
    A 0, B 1, C 2, D 3;
    A 0, B 1, C 2, D 3, E 4;
    A 0, B 1, C 2, D 3, E 4, F 5;
    A 0, B 1, C 2, D 3, E 4, F 5, G 6;
    A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7;
    A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8;
    A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9;
    A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10;
    A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11;
    A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12;
    A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13;
    A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13, O 14;
    A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13, O 14, P 15;
}

impl Arguments for () {
    type Slots = ();

    fn slots() {}

    fn fill<'de, S: Source<'de>>(_slots: &mut (), _index: usize, _source: S) -> Result<bool, S::Error> {
        Ok(false)
    }

    fn is_filled(_slots: &(), _index: usize) -> bool {
        false
    }

    fn finish(_slots: ()) -> Result<Self, usize> {
        Ok(())
    }

    fn schemas(_generate: &mut dyn FnMut(fn(&mut SchemaGenerator) -> Schema, bool)) {}
}
