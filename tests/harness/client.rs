//! An HTTP client for threads without a runtime.

use std::sync::OnceLock;
use std::time::Duration;

use bulkhead_protocol::codec;
use reqwest::{Method, Url};
use serde_json::Value;

use super::deadline::{LONG, eventually_within};

/// Between two tries of a client that insists.
const COME_BACK: Duration = Duration::from_millis(50);

/// Header and body of a request, beside its method and path.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Part {
    /// Nothing at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// A JSON document.
    pub fn json(value: &Value) -> Self {
        Self::typed("application/json", value.to_string())
    }

    /// The tuple of a call's arguments in bincode.
    pub fn bincode(arguments: &impl serde::Serialize) -> Self {
        Self::typed("application/x-bincode", codec::encode(arguments).expect("arguments can be encoded"))
    }

    /// A body of a media type.
    pub fn typed(media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { headers: vec![("content-type", media_type.to_owned())], body: body.into() }
    }

    /// With another header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: reqwest::header::HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// The request, for messages.
    asked: String,
}

impl Answer {
    /// The answer itself, if it has that status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}: {}", self.asked, self.text());
        self
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{}: {} is no JSON: {error}", self.asked, self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's value; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A client of one server. Every request has a connection of its own, so that none is left open.
#[derive(Clone, Debug)]
pub struct Client {
    base: Url,
    http: reqwest::Client,
}

impl Client {
    /// A client of the server at `url`.
    pub fn new(url: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(LONG);
        Self { base: url.parse().expect("a server's address"), http: http.build().expect("a client") }
    }

    /// Sends a request to a path with its query; an error when there is no whole answer.
    pub fn try_call(&self, method: Method, path: &str, part: Part) -> Result<Answer, reqwest::Error> {
        block_on(self.send(method, path, part))
    }

    /// The same for callers inside the runtime.
    pub async fn send(&self, method: Method, path: &str, part: Part) -> Result<Answer, reqwest::Error> {
        let asked = format!("{method} {path}");
        let url = self.base.join(path).expect("a path");
        let mut request = self.http.request(method, url).body(part.body);
        for (name, value) in part.headers {
            request = request.header(name, value);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await?.to_vec();
        Ok(Answer { status, headers, body, asked })
    }

    /// Sends a request to a path with its query.
    #[track_caller]
    pub fn call(&self, method: Method, path: &str, part: Part) -> Answer {
        let asked = format!("{method} {path}");
        self.try_call(method, path, part).unwrap_or_else(|error| panic!("{asked}: {error:?}"))
    }

    /// Asks until there is an answer that does not say to come back later, as clients do of a service
    /// that is repaired. What is posted has to carry an idempotency key.
    ///
    /// # Panics
    /// When there is none for [`LONG`].
    #[track_caller]
    pub fn insist(&self, method: &Method, path: &str, part: &Part) -> Answer {
        eventually_within(LONG, &format!("{method} {path} is answered"), || {
            let answer = self.try_call(method.clone(), path, part.clone()).map_err(|error| error.to_string());
            let comes_back = |answer: Answer| match answer.status {
                429 | 503 => Err(format!("{}: {}", answer.status, answer.text())),
                _ => Ok(answer),
            };
            answer.and_then(comes_back).inspect_err(|_| std::thread::sleep(COME_BACK))
        })
    }

    /// Waits for the end of a task, whatever happens to the service meanwhile, and returns what
    /// `/v1/tasks/{id}/result` says then.
    ///
    /// # Panics
    /// When it has none for [`LONG`].
    #[track_caller]
    pub fn result_at_last(&self, task: &str) -> Value {
        let path = format!("/v1/tasks/{task}/result?wait=20s");
        eventually_within(LONG, &format!("{task} ends"), || {
            let answer = self.insist(&Method::GET, &path, &Part::none()).expect(200).json();
            let ended = answer["status"] == "COMPLETED" || answer["status"] == "FAILED";
            if ended { Ok(answer) } else { Err(answer.to_string()) }
        })
    }

    /// `GET`.
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, Part::none())
    }

    /// `DELETE`.
    #[track_caller]
    pub fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, Part::none())
    }

    /// `POST` of a JSON document.
    #[track_caller]
    pub fn post(&self, path: &str, document: &Value) -> Answer {
        self.call(Method::POST, path, Part::json(document))
    }

    /// Registers all functions of a package.
    #[track_caller]
    pub fn register(&self, package: &[u8]) -> Answer {
        self.call(Method::POST, "/v1/functions", Part::typed("application/octet-stream", package))
    }

    /// Calls a function and waits for its end.
    #[track_caller]
    pub fn invoke(&self, function: &str, arguments: &Value) -> Answer {
        self.post(&format!("/v1/functions/{function}/invoke"), arguments)
    }

    /// Submits a task and returns its id.
    #[track_caller]
    pub fn submit(&self, document: &Value) -> String {
        let answer = self.post("/v1/tasks", document).expect(201).json();
        answer["task_id"].as_str().expect("a task's id").to_owned()
    }

    /// Waits for the end of a task and returns what `/v1/tasks/{id}/result` says then.
    #[track_caller]
    pub fn result(&self, task: &str) -> Value {
        let answer = self.get(&format!("/v1/tasks/{task}/result?wait=5m")).expect(200).json();
        assert!(answer["status"] == "COMPLETED" || answer["status"] == "FAILED", "{task} has no end: {answer}");
        answer
    }
}

/// Runs a future to its end, on threads that all tests share.
pub fn block_on<F: Future>(future: F) -> F::Output {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).thread_keep_alive(Duration::from_secs(1)).enable_all().build().expect("a runtime")
    });
    runtime.block_on(future)
}
