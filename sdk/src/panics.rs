//! Remembering where a panic happened: its payload knows the message alone.

use std::{any::Any, cell::RefCell, panic, sync::Once};

thread_local! {
    /// File, line and column of the last panic of this thread.
    static LOCATION: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Puts the hook in place, before the one that was there; once per process.
pub(crate) fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let location = panic.location().map(ToString::to_string);
            // A panic of a thread that is being torn down has no thread-locals left, and nobody to tell.
            let _ = LOCATION.try_with(|slot| slot.replace(location));
            // The usual lines on stderr belong to the log of the call.
            previous(panic);
        }));
    });
}

/// Message and location of the panic that was just caught on this thread.
pub(crate) fn message_and_location(payload: Box<dyn Any + Send>) -> (String, String) {
    let message = if let Some(text) = payload.downcast_ref::<&'static str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a value that is no text".to_owned()
    };
    // Dropping a foreign payload may panic again; what is left behind is small.
    std::mem::forget(payload);
    let location = LOCATION.take().unwrap_or_else(|| "unknown".to_owned());
    (message, location)
}
