//! Ctrl-C and SIGTERM: the first asks for an orderly end, the second ends at once.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// 128 and the number of SIGINT, as shells report a process that Ctrl-C ended.
const EXIT_AT_ONCE: i32 = 130;

/// Listens for signals from now on. The token is cancelled at the first; at the second the process
/// exits at once, and runners end because their parent is gone. Must be called inside a tokio
/// runtime.
///
/// # Errors
/// The system's, when a handler cannot be set.
pub fn listen() -> io::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let requested = CancellationToken::new();
    let token = requested.clone();
    tokio::spawn(async move {
        loop {
            let name = tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
            };
            if token.is_cancelled() {
                tracing::warn!(signal = name, "ending at once");
                std::process::exit(EXIT_AT_ONCE);
            }
            tracing::info!(signal = name, "shutting down; once more ends at once");
            token.cancel();
        }
    });
    Ok(requested)
}
