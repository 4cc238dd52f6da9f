//! The log: to stderr, for people or for programs, filtered by `BULKHEAD_LOG` or `RUST_LOG`.

pub mod stage;

use std::io::IsTerminal;
use std::panic::PanicHookInfo;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::config::LogFormat;

/// What is logged when nothing else is asked for.
const DEFAULT_FILTER: &str = "warn,bulkhead=info";
/// The variables with a filter; the first that is set counts.
const FILTER_VARIABLES: [&str; 2] = ["BULKHEAD_LOG", "RUST_LOG"];

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter in a variable cannot be read.
    #[error("failed to understand the log filter in {variable}: write it as info, or as bulkhead=debug,warn")]
    Filter {
        /// The variable.
        variable: &'static str,
        /// Why.
        #[source]
        source: ParseError,
    },
    /// The process logs already.
    #[error("failed to start the log: it is started already")]
    Started,
}

/// Starts the log of this process, and logs panics from now on.
///
/// # Errors
/// See [`Error`].
pub fn init(format: LogFormat) -> Result<(), Error> {
    let filter = read_filter(|name| std::env::var(name).ok())?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Human => {
            let colours =
                std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
            builder.with_ansi(colours).with_target(false).try_init()
        }
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|_| Error::Started)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

fn read_filter(variable: impl Fn(&str) -> Option<String>) -> Result<EnvFilter, Error> {
    for name in FILTER_VARIABLES {
        if let Some(text) = variable(name).filter(|text| !text.is_empty()) {
            return EnvFilter::try_new(text).map_err(|source| Error::Filter { variable: name, source });
        }
    }
    Ok(EnvFilter::new(DEFAULT_FILTER))
}

/// The default hook writes plain text, which would break a log of JSON.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let message = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    let backtrace = std::backtrace::Backtrace::capture();
    tracing::error!(location, message, %backtrace, "a panic, which is a mistake in Bulkhead");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(variables: &[(&str, &str)]) -> Result<String, Error> {
        let find = |name: &str| variables.iter().find(|(given, _)| *given == name).map(|(_, text)| (*text).to_owned());
        read_filter(find).map(|filter| filter.to_string())
    }

    #[test]
    fn our_own_variable_wins_and_empty_ones_do_not_count() {
        assert_eq!(filter(&[("RUST_LOG", "error"), ("BULKHEAD_LOG", "debug")]).unwrap(), "debug");
        assert_eq!(filter(&[("RUST_LOG", "error"), ("BULKHEAD_LOG", "")]).unwrap(), "error");
        assert!(filter(&[]).unwrap().contains("bulkhead=info"));
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_refused_by_name() {
        let error = filter(&[("RUST_LOG", "bulkhead=loud")]).unwrap_err();
        assert!(error.to_string().contains("RUST_LOG"), "{error}");
    }
}
