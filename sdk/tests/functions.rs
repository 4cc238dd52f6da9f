//! What the attribute makes of functions, seen by their callers.

extern crate bulkhead_sdk as bulkhead;

use std::{collections::HashMap, fmt, time::Duration};

use bulkhead::{
    Context, Error, FunctionError, Level, json,
    schemars::{self, JsonSchema},
    serde::{Deserialize, Serialize},
    testing::{Call, Outcome, describe},
};

#[derive(Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(crate = "bulkhead::serde")]
struct Point {
    x: i32,
    y: i32,
}

/// Moves a point.
///
/// A second paragraph.
#[bulkhead::function(
    timeout = "5s",
    memory = "64MiB",
    cpu = "2s",
    threads = 4,
    tmp = "16MiB",
    isolation = "reuse",
    network = true,
    name = "move-point"
)]
fn shift(from: Point, context: &Context, by: Option<i32>) -> Point {
    context.debug(format!("from {from:?}"));
    let by = by.unwrap_or(1);
    Point { x: from.x + by, y: from.y + by }
}

type Alias<T> = Result<T, TransferError>;

#[derive(Debug)]
enum TransferError {
    Closed,
}

impl fmt::Display for TransferError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the bank is closed")
    }
}

// Both traits at once, as an author who derives `thiserror::Error` has them: the code must win.
impl std::error::Error for TransferError {}

impl FunctionError for TransferError {
    fn code(&self) -> &str {
        "closed"
    }

    fn retryable(&self) -> bool {
        true
    }
}

#[bulkhead::function]
fn aliased() -> Alias<u8> {
    Err(TransferError::Closed)
}

#[bulkhead::function]
fn standard_error(text: String) -> Result<u8, std::num::ParseIntError> {
    text.parse()
}

#[bulkhead::function]
fn own_error(text: String) -> Result<u8, Error> {
    if text.is_empty() {
        return Err(Error::new("empty").with_code("empty").with_retryable(true));
    }
    Ok(text.parse()?)
}

#[bulkhead::function]
fn text_error() -> Result<(), String> {
    Err("plain words".to_owned())
}

#[bulkhead::function]
fn boxed_error() -> Result<(), Box<dyn std::error::Error>> {
    Err("boxed".into())
}

#[bulkhead::function]
fn panics(message: Option<String>) {
    match message {
        Some(message) => panic!("{message}"),
        None => std::panic::panic_any(5),
    }
}

#[bulkhead::function]
fn odd_map() -> HashMap<i64, (u8, &'static str)> {
    HashMap::from([(1, (2, "three"))])
}

#[bulkhead::function]
fn odder_map() -> HashMap<String, Vec<Pair>> {
    HashMap::new()
}

#[derive(Serialize, JsonSchema)]
#[serde(crate = "bulkhead::serde")]
struct Pair(u8, u8);

struct NoKey;

impl Serialize for NoKey {
    fn serialize<S: bulkhead::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([((1, 2), 3)])
    }
}

impl JsonSchema for NoKey {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "NoKey".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "object" })
    }
}

#[bulkhead::function]
fn not_encodable() -> NoKey {
    NoKey
}

#[bulkhead::function]
fn long(bytes: usize) -> String {
    "x".repeat(bytes)
}

#[bulkhead::function]
fn surroundings(context: &Context) -> (String, u32, Option<String>, bool) {
    context.progress(0.25, "a quarter");
    context.progress(f64::NAN, "nowhere");
    context.warn("odd");
    #[derive(Deserialize)]
    #[serde(crate = "bulkhead::serde")]
    struct Configuration {
        greeting: String,
    }
    let greeting = context.config::<Configuration>().ok().map(|c| c.greeting);
    assert_eq!(greeting.as_deref(), context.config_value("greeting").and_then(|value| value.as_str()));
    (context.task_id().to_owned(), context.attempt(), greeting, context.deadline().is_some())
}

#[bulkhead::function]
fn remaining(context: &Context) -> Option<Duration> {
    context.remaining()
}

#[bulkhead::function]
fn r#type(r#fn: u8, mut n: u8) -> u8 {
    n += r#fn;
    n
}

#[test]
fn arguments_go_by_name_by_position_and_in_bincode() {
    let expected = Point { x: 2, y: 3 };
    for args in [
        json!({"from": {"x": 1, "y": 2}}),
        json!([{"x": 1, "y": 2}]),
        json!([{"x": 1, "y": 2}, null]),
        json!({"by": 1, "from": {"x": 1, "y": 2}}),
    ] {
        let outcome = Call::new("move-point").args(args).run();
        assert_eq!(outcome.expect_ok::<Point>(), expected);
    }
    let moved: Point = Call::new("move-point").run_bincode((Point { x: 1, y: 2 }, None::<i32>)).unwrap();
    assert_eq!(moved, expected);
    assert_eq!(Call::new("type").args([1, 2]).run(), Outcome::Succeeded(json!(3)));
}

#[test]
fn wrong_arguments_name_the_place() {
    let outcome = Call::new("move-point").args(json!({"from": {"x": 1}})).run();
    let Outcome::InvalidInput { path, message } = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(path, "args.from");
    assert!(message.starts_with("missing field `y`"), "{message}");
    let outcome = Call::new("move-point").run_bincode::<Point>((1u8,));
    assert!(matches!(&outcome, Err(Outcome::InvalidInput { path, .. }) if path == "args.from[1]"), "{outcome:?}");
}

fn failure(code: &str, message: &str, retryable: bool) -> Outcome {
    Outcome::FunctionError { code: code.to_owned(), message: message.to_owned(), retryable }
}

#[test]
fn errors_of_every_kind_are_errors() {
    assert_eq!(Call::new("aliased").run(), failure("closed", "the bank is closed", true));
    let digits = "invalid digit found in string";
    let parse = |name: &str, text: &str| Call::new(name).args([text]).run();
    assert_eq!(parse("standard_error", "x"), failure("error", digits, false));
    assert_eq!(parse("standard_error", "7").expect_ok::<u8>(), 7);
    assert_eq!(parse("own_error", ""), failure("empty", "empty", true));
    assert_eq!(parse("own_error", "x"), failure("error", digits, false));
    assert_eq!(Call::new("text_error").run(), failure("error", "plain words", false));
    assert_eq!(Call::new("boxed_error").run(), failure("error", "boxed", false));
}

#[test]
fn panics_are_told_with_their_place() {
    let outcome = Call::new("panics").args(["oh"]).run();
    let Outcome::Panicked { message, location } = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(message, "oh");
    assert!(location.starts_with("sdk/tests/functions.rs:"), "{location}");
    let outcome = Call::new("panics").run();
    assert!(
        matches!(&outcome, Outcome::Panicked { message, .. } if message == "a value that is no text"),
        "{outcome:?}"
    );
}

#[test]
fn results_that_cannot_be_sent_say_why() {
    let limit = bulkhead_abi::MIN_OUTPUT_BYTES;
    let run = |bytes: usize| Call::new("long").args([bytes]).result_limit(limit).run();
    // Two bytes are the quotes.
    assert_eq!(run(limit - 2).expect_ok::<String>().len(), limit - 2);
    let too_large = Outcome::ResultTooLarge { limit: limit as u64 };
    assert_eq!(run(limit - 1), too_large);
    assert!(matches!(
        Call::new("not_encodable").run(),
        Outcome::ResultNotEncodable { message } if message.contains("key must be a string")
    ));
    // bincode takes any key.
    let map: HashMap<(u8, u8), u8> = {
        let bytes: Vec<((i32, i32), i32)> = Call::new("not_encodable").run_bincode(()).unwrap();
        bytes.into_iter().map(|((a, b), c)| ((a as u8, b as u8), c as u8)).collect()
    };
    assert_eq!(map, HashMap::from([((1, 2), 3)]));
    assert_eq!(Call::new("odd_map").run(), Outcome::Succeeded(json!({"1": [2, "three"]})));
    assert_eq!(Call::new("odder_map").run(), Outcome::Succeeded(json!({})));
}

#[test]
fn the_context_tells_and_listens() {
    let (outcome, log) = Call::new("surroundings")
        .attempt(3)
        .timeout(Duration::from_secs(60))
        .config(json!({"greeting": "hi"}))
        .run_with_log();
    assert_eq!(outcome, Outcome::Succeeded(json!(["017f22e2-79b0-7cc3-98c4-dc0c0c07398f", 3, "hi", true])));
    assert_eq!(log[0].progress, Some(0.25));
    assert_eq!(log[1].progress, Some(0.0));
    assert_eq!((log[2].level, log[2].message.as_str()), (Level::Warn, "odd"));

    let left = Call::new("remaining").timeout(Duration::from_secs(60)).run();
    let left: Duration = left.expect_ok::<Option<Duration>>().unwrap();
    assert!(left > Duration::from_secs(30) && left <= Duration::from_secs(60));
    assert_eq!(Call::new("remaining").run(), Outcome::Succeeded(json!(null)));
}

#[test]
fn the_description_holds_what_the_author_wrote_and_nothing_else() {
    let description = describe();
    assert_eq!(description["abi_version"], 1);
    let functions = description["functions"].as_array().unwrap();
    let named = |name: &str| functions.iter().find(|one| one["name"] == name).unwrap();

    let shift = named("move-point");
    assert_eq!(shift["doc"], "Moves a point.\n\nA second paragraph.");
    assert_eq!(
        shift["limits"],
        json!({
            "timeout_ms": 5000, "memory_bytes": 64 << 20, "cpu_ms": 2000, "threads": 4,
            "tmp_bytes": 16 << 20
        })
    );
    assert_eq!((&shift["isolation"], &shift["network"]), (&json!("reuse"), &json!(true)));
    assert_eq!(shift.get("jit"), None);
    assert_eq!(shift["input_schema"]["required"], json!(["from"]));
    assert_eq!(shift["input_schema"]["additionalProperties"], false);
    assert_eq!(shift["input_schema"]["properties"]["from"], json!({"$ref": "#/$defs/Point"}));
    assert_eq!(shift["output_schema"]["$ref"], "#/$defs/Point");
    assert_eq!(shift["output_schema"]["$defs"]["Point"]["type"], "object");
    let parameters = shift["parameters"].as_array().unwrap();
    assert_eq!(parameters[0]["name"], "from");
    assert_eq!(parameters[0]["required"], true);
    assert_eq!(parameters[0]["schema"]["$defs"]["Point"]["type"], "object");
    assert_eq!((&parameters[1]["name"], &parameters[1]["required"]), (&json!("by"), &json!(false)));

    let aliased = named("aliased");
    assert_eq!(aliased["output_schema"]["format"], "uint8");
    assert_eq!((&aliased["doc"], &aliased["limits"]), (&json!(""), &json!({})));
    assert_eq!(aliased.get("isolation"), None);
}

#[test]
#[should_panic(expected = "there is no function `hullo`")]
fn a_wrong_name_is_told() {
    let _ = Call::new("hullo").run();
}
