//! What a function says when it fails.

use std::fmt::{self, Display};

/// The code of errors that chose none.
const DEFAULT_CODE: &str = "error";

/// A failure of a function, as its callers see it.
///
/// Every [`std::error::Error`] converts into one, so `?` works in functions that return `Result<T, bulkhead::Error>`;
/// an error type that implements [`FunctionError`] may also be returned as it is and keeps its code.
///
/// ```
/// use bulkhead_sdk::Error;
///
/// fn parse(text: &str) -> Result<u32, Error> {
///     if text.is_empty() {
///         return Err(Error::new("nothing to parse").with_code("empty"));
///     }
///     Ok(text.parse()?)
/// }
///
/// assert_eq!(parse("").unwrap_err().code(), "empty");
/// assert_eq!(parse("x").unwrap_err().message(), "invalid digit found in string");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// A word for programs.
    code: String,
    /// A sentence for people.
    message: String,
    /// Whether trying again may help.
    retryable: bool,
}

impl Error {
    /// An error with the code `error`, not worth a retry.
    pub fn new(message: impl Display) -> Self {
        Self { code: DEFAULT_CODE.to_owned(), message: message.to_string(), retryable: false }
    }

    /// Gives it a code that callers can tell it by.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = code.into();
        self
    }

    /// Says whether trying again may help. Retries happen only where the caller's retry policy asks for them.
    #[must_use]
    pub fn with_retryable(mut self, retryable: bool) -> Self {
        self.retryable = retryable;
        self
    }

    /// Takes code and retryability from an error that has its own.
    ///
    /// `?` cannot: it goes by [`std::error::Error`] alone. So `result.map_err(|e| Error::from_function_error(&e))?`.
    pub fn from_function_error(error: &(impl FunctionError + ?Sized)) -> Self {
        Self { code: error.code().to_owned(), message: error.to_string(), retryable: error.retryable() }
    }

    /// The word for programs.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The sentence for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether trying again may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }
}

impl Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

/// `Error` itself is no [`std::error::Error`], or this would overlap with `From<T> for T`; anyhow made the same choice.
impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            // Some errors print their source themselves.
            if !message.ends_with(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            source = cause.source();
        }
        Self::new(message)
    }
}

/// An error type with codes of its own.
///
/// ```
/// #[derive(Debug)]
/// enum TransferError {
///     InsufficientFunds,
///     BankClosed,
/// }
///
/// impl std::fmt::Display for TransferError {
///     fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
///         formatter.write_str(match self {
///             Self::InsufficientFunds => "the account holds less than that",
///             Self::BankClosed => "the bank is closed",
///         })
///     }
/// }
///
/// impl bulkhead_sdk::FunctionError for TransferError {
///     fn code(&self) -> &str {
///         match self {
///             Self::InsufficientFunds => "insufficient_funds",
///             Self::BankClosed => "bank_closed",
///         }
///     }
///
///     fn retryable(&self) -> bool {
///         matches!(self, Self::BankClosed)
///     }
/// }
/// ```
pub trait FunctionError: Display {
    /// A word for programs; stable, for callers match on it.
    fn code(&self) -> &str {
        DEFAULT_CODE
    }

    /// Whether trying again may help.
    fn retryable(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(std::num::ParseIntError);

    impl Display for Outer {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("bad number")
        }
    }

    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn sources_are_told() {
        let error = Error::from(Outer("x".parse::<u8>().unwrap_err()));
        assert_eq!(error.to_string(), "bad number: invalid digit found in string");
        assert_eq!((error.code(), error.is_retryable()), ("error", false));
    }
}
