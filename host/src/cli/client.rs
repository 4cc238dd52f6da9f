//! The HTTP client: addresses, connection errors in words, and the server's problems as failures.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url, header};
use serde::de::DeserializeOwned;

use super::command::ServerArgs;
use super::failure::{Exit, Failure};
use super::progress;
use crate::gateway::api::Problem;

/// How long a server may take to accept a connection. Answers have no limit: calls take as long as
/// the function does.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes between two steps of the progress bar of an upload.
const UPLOAD_CHUNK_BYTES: usize = 256 * 1024;
/// Uploads below this are over before a bar is seen.
const SHOWN_UPLOAD_BYTES: usize = 4 * 1024 * 1024;
/// Most characters of an answer that is no problem document, shown as it is.
const MAX_SHOWN_CHARS: usize = 300;

/// A server.
#[derive(Clone)]
pub(super) struct Client {
    /// Keeps connections open between requests.
    http: reqwest::Client,
    /// Where it is.
    base: Url,
    /// Sent as a bearer token.
    key: Option<String>,
}

impl Client {
    /// A client of the server that the arguments name. Connects to nothing yet.
    pub(super) fn new(args: &ServerArgs) -> anyhow::Result<Self> {
        let wrong = |why: &str| {
            let line = format!("{:?} is no address of a server: {why}", args.server);
            Failure::new(Exit::Usage, line).hint("write it as http://127.0.0.1:8000, or set BULKHEAD_URL")
        };
        let base = Url::parse(&args.server).map_err(|error| wrong(&error.to_string()))?;
        match base.scheme() {
            "http" if base.host().is_some() => {}
            "https" => return Err(wrong("this client speaks http only; put a TLS tunnel in front").into()),
            _ => return Err(wrong("it does not begin with http://").into()),
        }
        let builder = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT);
        let is_here = matches!(base.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        // A proxy cannot know the loopback address that is meant.
        let builder = if is_here { builder.no_proxy() } else { builder };
        Ok(Self { http: builder.build()?, base, key: args.key.clone() })
    }

    /// The server's address, without a slash at its end.
    pub(super) fn base(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// A request to the path of these segments, which are escaped here.
    pub(super) fn request(&self, method: Method, path: &[&str], query: &[(&str, String)]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self.http.request(method, url);
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// Sends a request; an answer that is no success becomes an error.
    pub(super) async fn send(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() { Ok(response) } else { Err(self.refused(response).await.into()) }
    }

    /// Sends a request and reads the JSON of the answer.
    pub(super) async fn read<T: DeserializeOwned>(&self, request: RequestBuilder) -> anyhow::Result<T> {
        let body = self.body(self.send(request).await?).await?;
        serde_json::from_slice(&body).map_err(|error| self.not_bulkhead(StatusCode::OK, &body, Some(&error)).into())
    }

    /// `GET` of a path, read as JSON.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, String)]) -> anyhow::Result<T> {
        self.read(self.request(Method::GET, path, query)).await
    }

    /// The whole body of an answer.
    pub(super) async fn body(&self, response: Response) -> anyhow::Result<Bytes> {
        response.bytes().await.map_err(|error| self.unreachable(&error).into())
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let base = self.base();
        let mut causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
        let refused = causes.any(|cause| {
            let io = cause.downcast_ref::<std::io::Error>();
            io.is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused)
        });
        if refused {
            return Failure::new(Exit::Usage, format!("no server listens at {base}"))
                .hint("start one with `bulkhead up`, or name another with --server URL or BULKHEAD_URL");
        }
        let innermost = std::iter::successors(Some(error as &dyn std::error::Error), |cause| cause.source()).last();
        let reason = innermost.map(ToString::to_string).unwrap_or_default();
        let line = match (error.is_timeout(), error.is_connect()) {
            (true, _) => format!("{base} does not accept connections within {} s", CONNECT_TIMEOUT.as_secs()),
            (_, true) => format!("failed to connect to {base}: {reason}"),
            _ => format!("the connection to {base} broke: {reason}"),
        };
        Failure::new(Exit::Usage, line).hint("check --server or BULKHEAD_URL, and whether the server runs")
    }

    async fn refused(&self, response: Response) -> Failure {
        let status = response.status();
        let after =
            response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = match self.body(response).await {
            Ok(body) => body,
            Err(error) => return Failure::new(Exit::Usage, error.to_string()),
        };
        let mut failure = match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Failure::from_problem(problem),
            Err(_) => return self.not_bulkhead(status, &body, None),
        };
        if let Some(seconds) = after {
            failure.hint = Some(format!("the server asks to try again after {seconds} s"));
        }
        failure
    }

    /// What answers is a proxy, another program or another version.
    fn not_bulkhead(&self, status: StatusCode, body: &[u8], error: Option<&serde_json::Error>) -> Failure {
        let shown: String = String::from_utf8_lossy(body).chars().take(MAX_SHOWN_CHARS).collect();
        let line = format!("{} answered {status} in a way that this version does not understand", self.base());
        let failure = Failure::new(Exit::Usage, line);
        let failure = match error {
            Some(error) => failure.detail(error.to_string()),
            None => failure,
        };
        failure.detail(shown).hint("is it a Bulkhead server, of this version? `bulkhead --version` tells yours")
    }
}

/// A body that shows its way out as a progress bar, when it is large and stderr is a terminal.
pub(super) fn upload(request: RequestBuilder, body: Bytes) -> RequestBuilder {
    let total = body.len();
    if total < SHOWN_UPLOAD_BYTES {
        return request.body(body);
    }
    let bar = progress::bytes("uploading", total as u64);
    let chunks = (0..total).step_by(UPLOAD_CHUNK_BYTES).map(move |start| {
        let end = (start + UPLOAD_CHUNK_BYTES).min(total);
        bar.inc((end - start) as u64);
        if end == total {
            bar.finish_and_clear();
        }
        Ok::<_, std::io::Error>(body.slice(start..end))
    });
    // Without its length a streamed body is sent in chunks, and the server could refuse it late only.
    request.header(header::CONTENT_LENGTH, total).body(reqwest::Body::wrap_stream(stream::iter(chunks)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(server: &str) -> anyhow::Result<Client> {
        Client::new(&ServerArgs { server: server.to_owned(), key: None })
    }

    fn url(server: &str, path: &[&str], query: &[(&str, String)]) -> String {
        client(server).unwrap().request(Method::GET, path, query).build().unwrap().url().to_string()
    }

    #[test]
    fn paths_are_joined_and_escaped() {
        assert_eq!(url("http://h:1", &["v1", "functions"], &[]), "http://h:1/v1/functions");
        assert_eq!(url("http://h:1/below/", &["v1", "a/b"], &[]), "http://h:1/below/v1/a%2Fb");
        assert_eq!(url("http://h:1", &["v1", "resize:prod"], &[]), "http://h:1/v1/resize:prod");
        assert_eq!(url("http://h:1", &["v1", "resize@3"], &[]), "http://h:1/v1/resize@3");
        let query = [("label.team", "a&b".to_owned())];
        assert_eq!(url("http://h:1", &["v1", "tasks:batch"], &query), "http://h:1/v1/tasks:batch?label.team=a%26b");
    }

    #[test]
    fn what_is_no_address_is_refused_with_an_example() {
        for wrong in ["", "localhost:8000", "ftp://h", "https://h"] {
            let error = client(wrong).err().unwrap();
            let hint = error.downcast_ref::<Failure>().unwrap().hint.clone().unwrap();
            assert!(hint.contains("http://127.0.0.1:8000"), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_refused_connection_says_how_to_start_a_server() {
        // A port that was free a moment ago and has no listener.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let client = client(&format!("http://127.0.0.1:{port}")).unwrap();
        let error = client.get::<serde_json::Value>(&["v1"], &[]).await.unwrap_err();
        let failure = error.downcast_ref::<Failure>().unwrap();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.hint.as_ref().unwrap().contains("bulkhead up"), "{failure:?}");
    }
}
