//! What clients get wrong: each mistake with its status, its kind, and words that help; and nothing of it
//! is stored.

use bulkhead_tests::{Answer, Client, Options, Part};
use reqwest::Method;
use serde_json::{Value, json};

use crate::surroundings::{function_id, problem, server_with, task_ids};

/// A request that has to be refused.
struct Mistake {
    method: Method,
    path: &'static str,
    part: Part,
    status: u16,
    kind: &'static str,
    /// Text that the detail has to hold.
    detail: &'static str,
    /// The field that the problem has to name; empty for none.
    field: &'static str,
}

fn mistake(status: u16, kind: &'static str, detail: &'static str, field: &'static str) -> Mistake {
    Mistake { method: Method::POST, path: "", part: Part::none(), status, kind, detail, field }
}

impl Mistake {
    fn post(self, path: &'static str, document: Value) -> Self {
        self.sent(Method::POST, path, Part::json(&document))
    }

    fn text(self, path: &'static str, body: &str) -> Self {
        self.sent(Method::POST, path, Part::typed("application/json", body))
    }

    fn sent(self, method: Method, path: &'static str, part: Part) -> Self {
        Self { method, path, part, ..self }
    }

    fn asked(self, path: &'static str) -> Self {
        self.sent(Method::GET, path, Part::none())
    }

    #[track_caller]
    fn check(self, client: &Client) -> Answer {
        let Self { method, path, part, status, kind, detail, field } = self;
        let asked = format!("{method} {path} {:.80}", String::from_utf8_lossy(&part.body));
        println!("{asked}");
        let answer = client.call(method, path, part);
        let problem = problem(answer.clone(), status, kind);
        let said = problem["detail"].as_str().expect("text");
        assert!(said.contains(detail), "{asked}: no {detail:?} in {problem}");
        assert_eq!(problem["field"].as_str().unwrap_or_default(), field, "{asked}: {problem}");
        answer
    }
}

const UNKNOWN_ID: &str = "01936f5e-8f6a-7b3c-9d4e-5f6a7b8c9d0e";

fn malformed() -> Vec<Mistake> {
    let no_json = || mistake(400, "malformed-request", "the body is no JSON", "");
    let invalid = |detail, field| mistake(422, "invalid-request", detail, field);
    vec![
        no_json().text("/register_function", "{\"name\": "),
        no_json().text("/execute_function", ""),
        no_json().text("/execute_function", "{\"function_id\": \"x\", \"args\": []} {}"),
        no_json().text("/v1/tasks", "nonsense"),
        no_json().text("/v1/tasks", "\u{feff}{}"),
        invalid("missing field `name`", "name").post("/register_function", json!({"payload": "AAAA"})),
        invalid("missing field `payload`", "payload").post("/register_function", json!({"name": "f"})),
        invalid("unknown field `nmae`", "nmae").post("/register_function", json!({"nmae": "f", "payload": ""})),
        invalid("expected a string", "name").post("/register_function", json!({"name": 1, "payload": ""})),
        invalid("", "name").post("/register_function", json!({"name": "a b", "payload": "AAAA"})),
        invalid("", "name").post("/register_function", json!({"name": "", "payload": "AAAA"})),
        invalid("", "name").post("/register_function", json!({"name": "x".repeat(65), "payload": "AAAA"})),
        invalid("missing field `function_id`", "function_id").post("/execute_function", json!({"args": {}})),
        invalid("missing field `args`", "args").post("/execute_function", json!({"function_id": UNKNOWN_ID})),
        invalid("exclude each other", "payload")
            .post("/execute_function", json!({"function_id": UNKNOWN_ID, "args": {}, "payload": ""})),
        invalid("missing field `function`", "function").post("/v1/tasks", json!({"args": {}})),
        invalid("unknown field `timeut`", "timeut")
            .post("/v1/tasks", json!({"function": "hello", "args": [], "timeut": 1})),
        mistake(400, "malformed-payload", "`payload` is no base64", "")
            .post("/register_function", json!({"name": "f", "payload": "not base64!"})),
        mistake(400, "malformed-payload", "`payload` is no base64", "")
            .post("/v1/tasks", json!({"function": "hello", "payload": "%%"})),
    ]
}

fn options() -> Vec<Mistake> {
    let option = |detail, field, name: &str, value: Value| {
        let mut document = json!({"function": "hello", "args": ["Ada"]});
        document[name] = value;
        mistake(422, "invalid-request", detail, field).post("/v1/tasks", document)
    };
    let labels =
        |count: usize| (0..count).map(|index| (index.to_string(), json!("x"))).collect::<serde_json::Map<_, _>>();
    vec![
        option("is no duration", "timeout", "timeout", json!("soon")),
        option("is not between 1ms and 1h", "timeout", "timeout", json!("0s")),
        option("is not between 1ms and 1h", "timeout", "timeout", json!("3601s")),
        option("is not between", "delay", "delay", json!("31days")),
        option("is not between", "result_ttl", "result_ttl", json!("31days")),
        option("unknown variant", "priority", "priority", json!("urgent")),
        option("101 is not between 0 and 100", "retry.max", "retry", json!({"max": 101})),
        option("is not between 0s and 1h", "retry.backoff", "retry", json!({"max": 1, "backoff": "61m"})),
        option("missing field `max`", "retry.max", "retry", json!({})),
        option("a length of 0 is not between 1 and 256", "idempotency_key", "idempotency_key", json!("")),
        option("a length of 257", "idempotency_key", "idempotency_key", json!("x".repeat(257))),
        option("17 labels is not between 0 and 16", "labels", "labels", Value::Object(labels(17))),
        option("a key of 65 bytes", "labels", "labels", json!({"k".repeat(65): "v"})),
        option("257 bytes is not between 0 and 256", "labels.k", "labels", json!({"k": "v".repeat(257)})),
        option("is set by batches", "labels.bulkhead.group", "labels", json!({"bulkhead.group": "g"})),
    ]
}

fn unknown() -> Vec<Mistake> {
    let invoke = || Part::json(&json!([]));
    let path = || mistake(404, "unknown-path", "", "");
    let parameter = |detail, field| mistake(422, "invalid-request", detail, field);
    vec![
        mistake(400, "unknown-function", "there is no function with the id", "")
            .post("/execute_function", json!({"function_id": UNKNOWN_ID, "args": []})),
        mistake(400, "unknown-function", "there is no function with the id hello", "")
            .post("/execute_function", json!({"function_id": "hello", "args": []})),
        mistake(404, "unknown-function", "there is no function nobody", "")
            .post("/v1/tasks", json!({"function": "nobody", "args": []})),
        mistake(404, "unknown-function", "hello@2", "").sent(Method::POST, "/v1/functions/hello@2/invoke", invoke()),
        mistake(404, "unknown-function", "hello:prod", "").sent(
            Method::POST,
            "/v1/functions/hello:prod/invoke",
            invoke(),
        ),
        mistake(404, "unknown-function", "", "").sent(Method::POST, "/v1/functions/hello@x/invoke", invoke()),
        mistake(404, "unknown-function", "nobody", "").asked("/v1/functions/nobody"),
        mistake(404, "unknown-function", "nobody", "").asked("/v1/functions/nobody/versions"),
        mistake(404, "unknown-function", "nobody", "").sent(Method::DELETE, "/v1/functions/nobody", Part::none()),
        mistake(404, "unknown-function", "hello@9", "").sent(
            Method::PUT,
            "/v1/functions/hello/aliases/prod",
            Part::json(&json!({"version": 9})),
        ),
        mistake(404, "unknown-task", "there is no task", "").asked("/status/01936f5e-8f6a-7b3c-9d4e-5f6a7b8c9d0e"),
        mistake(404, "unknown-task", "there is no task", "").asked("/result/01936f5e-8f6a-7b3c-9d4e-5f6a7b8c9d0e"),
        mistake(404, "unknown-task", "there is no task nonsense", "").asked("/status/nonsense"),
        mistake(404, "unknown-task", "there is no task", "")
            .asked("/v1/tasks/01936f5e-8f6a-7b3c-9d4e-5f6a7b8c9d0e?wait=1s"),
        mistake(404, "unknown-task", "there is no task", "")
            .asked("/v1/tasks/01936f5e-8f6a-7b3c-9d4e-5f6a7b8c9d0e/logs"),
        mistake(404, "unknown-task", "there is no task", "")
            .asked("/v1/tasks/01936f5e-8f6a-7b3c-9d4e-5f6a7b8c9d0e/result"),
        path().asked("/nowhere"),
        path().asked("/v1"),
        path().asked("/v1/functions/hello/nothing"),
        path().post("/V1/tasks", json!({})),
        mistake(405, "method-not-allowed", "`Allow` names", "").asked("/register_function"),
        mistake(405, "method-not-allowed", "`Allow` names", "").sent(
            Method::PATCH,
            "/v1/functions/hello",
            Part::none(),
        ),
        mistake(405, "method-not-allowed", "`Allow` names", "").sent(Method::DELETE, "/v1/tasks", Part::none()),
        parameter("unknown parameter `wiat`; known are wait", "wiat").asked("/result/x?wiat=1s"),
        parameter("`wait`: \"soon\" is no duration", "wait").asked("/result/x?wait=soon"),
        parameter("unknown parameter `a`; there are none here", "a").asked("/status/x?a=b"),
        parameter("`limit`: 0 is not between 1 and 1000", "limit").asked("/v1/tasks?limit=0"),
        parameter("`limit`: 1001 is not between 1 and 1000", "limit").asked("/v1/tasks?limit=1001"),
        parameter("`status`: done is no status", "status").asked("/v1/tasks?status=done"),
        parameter("`since`: yesterday is neither", "since").asked("/v1/tasks?since=yesterday"),
        parameter("`cursor`", "cursor").asked("/v1/tasks?cursor=x"),
        parameter("`limit`", "limit").asked("/v1/functions?limit=x"),
        parameter("is not between 1ms and 1h", "timeout").sent(
            Method::POST,
            "/v1/functions/hello/invoke?timeout=2h",
            invoke(),
        ),
    ]
}

fn media_types() -> Vec<Mistake> {
    let refused = |detail| mistake(415, "unsupported-media-type", detail, "");
    let plain = || Part::typed("text/plain", "{}");
    vec![
        refused("text/plain was given").sent(Method::POST, "/register_function", plain()),
        refused("text/plain was given").sent(Method::POST, "/execute_function", plain()),
        refused("text/plain was given").sent(Method::POST, "/v1/tasks", plain()),
        refused("text/plain was given").sent(Method::POST, "/v1/functions/hello/invoke", plain()),
        refused("set `Content-Type` to application/x-ndjson").sent(
            Method::POST,
            "/v1/tasks:batch",
            Part::json(&json!({})),
        ),
        refused("set `Content-Type` to application/octet-stream").post("/v1/functions", json!({})),
        refused("none was given").sent(Method::POST, "/v1/tasks", Part { body: b"{}".to_vec(), ..Part::none() }),
        refused("application/x-www-form-urlencoded was given").sent(
            Method::POST,
            "/v1/tasks",
            Part::typed("application/x-www-form-urlencoded", "a=b"),
        ),
    ]
}

#[test]
fn mistakes_are_told_apart_and_leave_nothing() {
    let server = server_with(Options::default(), &["hello"]);
    let client = server.client();
    let functions = client.get("/v1/functions").expect(200).json();
    for mistake in [malformed(), options(), unknown(), media_types()].into_iter().flatten() {
        mistake.check(&client);
    }
    let allowed = client.get("/register_function");
    assert!(allowed.header("allow").contains("POST"), "{:?}", allowed.headers);
    let misdirected = client.call(Method::GET, "/healthz", Part::none().header("host", "attacker.example"));
    problem(misdirected, 421, "misdirected-request");
    assert_eq!(client.get("/v1/functions").expect(200).json(), functions);
    assert_eq!(task_ids(&client), Vec::<String>::new());
    server.stop();
}

#[test]
fn malformed_json_is_told_with_its_place() {
    let server = server_with(Options::default(), &[]);
    let answer =
        server.client().call(Method::POST, "/v1/tasks", Part::typed("application/json", "{\n  \"function\" 1}"));
    let problem = problem(answer, 400, "malformed-request");
    assert_eq!((&problem["line"], &problem["column"]), (&json!(2), &json!(14)));
}

#[test]
fn arguments_that_do_not_fit_are_named_with_what_was_expected() {
    let server = server_with(Options::default(), &["hello", "fibonacci", "tmp-scratch", "bank-transfer"]);
    let client = server.client();
    let table = [
        ("hello", json!({"who": 1}), "args.who", "expected a string"),
        ("hello", json!([null]), "args.who", "expected a string"),
        ("hello", json!({}), "args.who", "missing"),
        ("hello", json!([]), "args.who", "missing"),
        ("hello", json!({"who": "Ada", "whom": "Bob"}), "args.whom", "who"),
        ("hello", json!(["Ada", "Bob"]), "args", "1"),
        ("hello", json!("Ada"), "args", "object"),
        ("fibonacci", json!({"n": "30"}), "args.n", "expected u32"),
        ("fibonacci", json!({"n": -1}), "args.n", "expected u32"),
        ("fibonacci", json!({"n": 1.5}), "args.n", "expected u32"),
        ("fibonacci", json!({"n": 4_294_967_296_u64}), "args.n", "expected u32"),
        ("external_sort", json!({"numbers": [1, 2, "three"]}), "args.numbers[2]", "expected i64"),
        ("external_sort", json!({"numbers": {}}), "args.numbers", "expected a sequence"),
        (
            "transfer",
            json!({"balances": {"ada": -5}, "from": "a", "to": "b", "amount": 1}),
            "args.balances.ada",
            "expected u64",
        ),
    ];
    for (function, arguments, path, expected) in table {
        let case = format!("{function} {arguments}");
        let answer = client.invoke(function, &arguments);
        assert_eq!(answer.header("bulkhead-outcome"), "InvalidInput", "{case}: {}", answer.text());
        let outcome = problem(answer, 422, "invalid-input")["outcome"].clone();
        assert_eq!(outcome["path"], path, "{case}: {outcome}");
        let message = outcome["message"].as_str().expect("text");
        assert!(message.contains(expected), "{case}: no {expected:?} in {message:?}");
    }
    // The same as a task: it fails, the request does not.
    let task = client.submit(&json!({"function": "hello", "args": {"who": 1}}));
    let answer = client.result(&task);
    assert_eq!((&answer["outcome"]["kind"], &answer["outcome"]["path"]), (&json!("InvalidInput"), &json!("args.who")));

    for nonsense in ["{\"who\": ", "\u{1}", ""] {
        let part = Part::typed("application/x-bincode", nonsense);
        problem(client.call(Method::POST, "/v1/functions/hello/invoke", part), 422, "invalid-input");
    }
    let part = Part::typed("application/json", "{\"who\": ");
    problem(client.call(Method::POST, "/v1/functions/hello/invoke", part), 422, "invalid-input");
    server.stop();
}

#[test]
fn inputs_at_the_bound_are_taken_and_one_byte_more_is_not() {
    let bound: usize = 256 << 10;
    let server = server_with(Options::config("gateway.input_bytes = \"256KiB\"\n"), &["echo"]);
    let client = server.client();
    let text = |length: usize| format!("[\"{}\"]", "x".repeat(length - 4));
    let invoke =
        |body: String| client.call(Method::POST, "/v1/functions/echo/invoke", Part::typed("application/json", body));
    assert_eq!(invoke(text(bound)).expect(200).body.len(), bound - 2);
    let above = problem(invoke(text(bound + 1)), 413, "too-large");
    assert_eq!(above["detail"], format!("{} bytes are more than input_bytes allows: {bound} bytes", bound + 1));
    assert_eq!((&above["limit"], &above["limit_value"]), (&json!("input_bytes"), &json!(bound)));
    assert_eq!(above["asked_value"], bound + 1);

    let calls = task_ids(&client).len();
    let id = function_id(&client, "echo");
    let execute = |args: &str| {
        let body = format!("{{\"function_id\": \"{id}\", \"args\": {args}}}");
        client.call(Method::POST, "/execute_function", Part::typed("application/json", body))
    };
    let task = execute(&text(bound)).expect(201).json()["task_id"].as_str().expect("an id").to_owned();
    assert_eq!(client.result(&task)["result"].as_str().map(str::len), Some(bound - 4));
    problem(execute(&text(bound + 1)), 413, "too-large");
    problem(execute(&text(2 * bound)), 413, "too-large");
    assert_eq!(task_ids(&client).len(), calls + 1);
    server.stop();
}

#[test]
fn results_at_the_bound_are_taken_and_one_byte_more_is_not() {
    let server = server_with(Options::config("defaults.result = \"4KiB\"\n"), &["faulty"]);
    let client = server.client();
    // Two of them are quotation marks.
    assert_eq!(client.invoke("huge_result", &json!([4094])).expect(200).body.len(), 4096);
    let answer = problem(client.invoke("huge_result", &json!([4095])), 500, "limit-exceeded");
    assert_eq!((&answer["outcome"]["limit"], &answer["outcome"]["value"]), (&json!("result"), &json!(4096)));
    server.stop();
}

#[test]
fn large_inputs_and_results_go_through() {
    let server = server_with(Options::default(), &["payload-digest", "faulty"]);
    let client = server.client();
    let data = vec![0x5A_u8; 40 << 20];
    let answer =
        client.call(Method::POST, "/v1/functions/digest/invoke", Part::bincode(&(serde_bytes(&data),))).expect(200);
    // length, sha256, blake3 in order; each text with its length before it.
    let (length, sha256, _): (u64, String, String) = bulkhead_protocol::codec::decode(&answer.body).expect("a result");
    assert_eq!(length, 40 << 20);
    let expected = bulkhead_protocol::package::sha256(&data);
    assert_eq!(sha256, expected.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    let result = client.invoke("huge_result", &json!([60 << 20])).expect(200);
    assert_eq!(result.body.len(), (60 << 20) + 2);
    server.stop();
}

/// A sequence of bytes has the same encoding as a text without the check for UTF-8.
fn serde_bytes(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("ASCII only")
}

#[test]
fn a_refusal_reaches_a_client_that_is_still_sending() {
    let server = server_with(Options::default(), &[]);
    let client = server.client();
    let body = vec![b' '; 32 << 20];
    for _ in 0..3 {
        let part = Part::typed("application/json", body.clone());
        let refused = client.call(Method::POST, "/v1/functions/nobody/invoke", part);
        problem(refused, 404, "unknown-function");
        let part = Part::typed("text/plain", body.clone());
        problem(client.call(Method::POST, "/v1/tasks", part), 415, "unsupported-media-type");
        let part = Part::typed("application/json", body.clone());
        problem(client.call(Method::POST, "/nowhere", part), 404, "unknown-path");
    }
    server.stop();
}
