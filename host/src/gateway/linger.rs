//! Request bodies that a refusal leaves unread. A client that is still sending when the connection
//! closes never sees the answer (its own bytes make the kernel reset the connection), so the rest is
//! read and thrown away for a while: what nginx calls a lingering close.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::future::poll_fn;
use hyper::Request;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::header::EXPECT;

/// How long the rest of a body is read for.
const LINGER: Duration = Duration::from_secs(10);
/// Bodies up to this size are on their way in one piece: nobody is still sending them.
const SMALL_BODY_BYTES: u64 = 16 * 1024;

/// A request whose body is read to its end also when its handler does not.
pub(super) fn with_linger(request: Request<Incoming>) -> Request<Body> {
    // Whoever asks first (curl does, for large bodies) sends nothing that is refused.
    let asks_first = request.headers().contains_key(EXPECT);
    request.map(|body| match body.size_hint().upper() {
        Some(..=SMALL_BODY_BYTES) => Body::new(body),
        _ if asks_first => Body::new(body),
        _ => Body::new(Lingering { body: Some(body) }),
    })
}

struct Lingering {
    /// The body; none only while this is dropped.
    body: Option<Incoming>,
}

impl hyper::body::Body for Lingering {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Incoming::size_hint).unwrap_or_default()
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let Some(mut body) = self.body.take().filter(|body| !body.is_end_stream()) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(tokio::time::timeout(LINGER, async move {
            while let Some(Ok(_)) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {}
        }));
    }
}
