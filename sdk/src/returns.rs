//! Telling results from errors by the type that a function returns.
//!
//! A macro sees tokens, and `Result` may hide behind an alias. So the generated code asks the compiler: every kind of
//! return type below has a trait with a method `kind`, implemented at a different depth of references to [`Returns`].
//! Method lookup tries `&&&&&Returns<R>` first and strips one reference at a time, so the first kind that fits wins
//! ("autoref specialisation", described at <https://github.com/dtolnay/case-studies/tree/master/autoref-specialization>).

use std::{fmt::Display, marker::PhantomData};

use schemars::JsonSchema;
use serde::Serialize;

use crate::{Error, FunctionError};

/// Stands for a return type while its kind is looked up.
#[derive(Debug)]
pub struct Returns<R>(PhantomData<R>);

impl<R> Returns<R> {
    /// A value to call `kind` on.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "only generated code makes one")]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

/// How the value that a function returned becomes a result or an error.
#[diagnostic::on_unimplemented(
    message = "the error type of this function says nothing to its callers",
    note = "an error implements `bulkhead::FunctionError`, `std::error::Error` or `Display`, or is `bulkhead::Error`"
)]
pub trait ReturnKind {
    /// What the function returns.
    type Returned;
    /// What callers get when it succeeds.
    type Output: Serialize + JsonSchema;
    /// Takes them apart.
    ///
    /// # Errors
    ///
    /// When the function returned an error.
    fn split(returned: Self::Returned) -> Result<Self::Output, Error>;
}

/// Implements the lookup of one kind.
macro_rules! lookup {
    ($lookup:ident: <$($parameter:ident $(: $bound:path)?),*> for $place:ty => $kind:ty) => {
        /// Looks up the kind of a return type; see the module.
        pub trait $lookup {
            /// The kind found.
            type Kind;
            /// Gives it as a value.
            fn kind(&self) -> Self::Kind;
        }

        impl<$($parameter $(: $bound)?),*> $lookup for $place {
            type Kind = $kind;

            fn kind(&self) -> $kind {
                PhantomData
            }
        }
    };
}

/// `Result<T, E>` whose errors carry their own code.
#[derive(Debug)]
pub enum Coded {}

/// `Result<T, E>` whose errors become [`Error`] by `Into`: itself, and every [`std::error::Error`].
#[derive(Debug)]
pub enum Converted {}

/// `Result<T, E>` whose errors are text: `String`, `Box<dyn Error>`, `anyhow::Error`.
#[derive(Debug)]
pub enum Displayed {}

/// `Result<T, E>` whose errors are none of that; [`ReturnKind`] is not implemented for it.
#[derive(Debug)]
pub enum Mute {}

/// Any other type: the result itself.
#[derive(Debug)]
pub enum Plain {}

lookup!(LookupCoded: <T, E: FunctionError> for &&&&Returns<Result<T, E>> => PhantomData<(Coded, T, E)>);
lookup!(LookupConverted: <T, E: IntoError> for &&&Returns<Result<T, E>> => PhantomData<(Converted, T, E)>);
lookup!(LookupDisplayed: <T, E: Display> for &&Returns<Result<T, E>> => PhantomData<(Displayed, T, E)>);
lookup!(LookupMute: <T, E> for &Returns<Result<T, E>> => PhantomData<(Mute, T, E)>);
lookup!(LookupPlain: <T> for Returns<T> => PhantomData<(Plain, T)>);

/// `Into<Error>` under a name without parameters.
pub trait IntoError: Into<Error> {}

impl<E: Into<Error>> IntoError for E {}

impl<T: Serialize + JsonSchema, E: FunctionError> ReturnKind for PhantomData<(Coded, T, E)> {
    type Returned = Result<T, E>;
    type Output = T;

    fn split(returned: Result<T, E>) -> Result<T, Error> {
        returned.map_err(|error| Error::from_function_error(&error))
    }
}

impl<T: Serialize + JsonSchema, E: Into<Error>> ReturnKind for PhantomData<(Converted, T, E)> {
    type Returned = Result<T, E>;
    type Output = T;

    fn split(returned: Result<T, E>) -> Result<T, Error> {
        returned.map_err(Into::into)
    }
}

impl<T: Serialize + JsonSchema, E: Display> ReturnKind for PhantomData<(Displayed, T, E)> {
    type Returned = Result<T, E>;
    type Output = T;

    fn split(returned: Result<T, E>) -> Result<T, Error> {
        returned.map_err(|error| Error::new(format!("{error:#}")))
    }
}

impl<T: Serialize + JsonSchema> ReturnKind for PhantomData<(Plain, T)> {
    type Returned = T;
    type Output = T;

    fn split(returned: T) -> Result<T, Error> {
        Ok(returned)
    }
}
