//! `bulkhead eval`: real evaluations of small clusters, and what becomes of those that end early.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use bulkhead_tests::{Daemon, LONG, Options, Server, checkout, unused_port};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::place::{Place, wait_for};
use crate::surroundings::start;

/// Every picture, without the ending.
const PICTURES: [&str; 7] = [
    "comprehensive_performance_results",
    "overhead_analysis",
    "scaling_efficiency_analysis",
    "latency_percentiles",
    "workload_comparison",
    "latency_vs_load",
    "recovery_timeline",
];
const RESULTS: &str = "performance_results.json";
const ANALYSIS: &str = "performance_analysis.md";
/// Little of everything: the tests look at files, not at figures.
const LITTLE: [&str; 9] =
    ["--quick", "--tasks-per-worker", "4", "--calls", "4", "--load-time", "100ms", "--isolation", "fresh"];

/// Reads the results, and holds them against the schema of the documentation.
#[track_caller]
fn results_in(place: &Place, folder: &str) -> Value {
    let read = |path: &Path| -> Value {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let results = read(&place.path(folder).join(RESULTS));
    let schema = read(&checkout().join("docs/performance_results.schema.json"));
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let wrong: Vec<_> = validator.iter_errors(&results).map(|error| error.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    results
}

/// Checks that a picture decodes, has its size, and is not blank.
#[track_caller]
fn check_picture(folder: &Path, stem: &str) {
    let svg = fs::read_to_string(folder.join(format!("{stem}.svg"))).expect("a picture");
    let document = roxmltree::Document::parse(&svg).unwrap_or_else(|error| panic!("{stem}: {error}"));
    let size = ["width", "height"].map(|name| document.root_element().attribute(name).map(str::to_owned));
    assert_eq!(size, ["1600", "1000"].map(|number| Some(number.to_owned())), "{stem}");
    let png = image::open(folder.join(format!("{stem}.png"))).unwrap_or_else(|error| panic!("{stem}: {error}"));
    let png = png.to_rgb8();
    assert_eq!(png.dimensions(), (1600, 1000), "{stem}");
    let inked = png.pixels().filter(|pixel| pixel.0 != [255; 3]).count();
    let colours: HashSet<_> = png.pixels().map(|pixel| pixel.0).collect();
    assert!(inked > 10_000 && colours.len() > 20, "{stem}: {inked} pixels of {} colours", colours.len());
}

#[track_caller]
fn list<'a>(results: &'a Value, name: &str) -> &'a Vec<Value> {
    results[name].as_array().unwrap_or_else(|| panic!("{name} of {results}"))
}

/// Waits until an evaluation has come to a step.
#[track_caller]
fn wait_for_step(evaluation: &mut Daemon, step: &str) {
    wait_for(evaluation, &format!("step {step} of "));
}

#[test]
fn a_short_evaluation_yields_every_file_and_leaves_nothing() {
    let place = Place::new("eval");
    let arguments = ["--modes", "local,pull", "--workers", "1,2", "--workloads", "noop,io", "--repeat", "1", "--json"];
    let ended = place.run(&[&LITTLE[..], &arguments, &["--out", "out"]].concat()).expect(0);
    place.assert_clean();
    let told = ended.json();
    assert_eq!((&told["partial"], &told["made"]), (&Value::Null, &told["succeeded"]), "{told}");
    let out = place.path("out");
    let written: HashSet<String> =
        list(&told, "files").iter().map(|file| file.as_str().expect("a path").to_owned()).collect();
    let pictures = PICTURES.iter().flat_map(|stem| ["svg", "png"].map(|ending| format!("{stem}.{ending}")));
    let expected: HashSet<String> =
        pictures.chain([RESULTS, ANALYSIS].map(str::to_owned)).map(|name| format!("out/{name}")).collect();
    assert_eq!(written, expected);
    PICTURES.iter().for_each(|stem| check_picture(&out, stem));

    let results = results_in(&place, "out");
    assert!(results["partial"].is_null() && results["machine"]["cores"].as_u64() > Some(0));
    // Two kinds of clusters; one worker has a weak and a strong batch, two have one that counts for both.
    assert_eq!(list(&results, "throughput").len(), 2 * 2 * (2 + 1));
    for batch in list(&results, "throughput") {
        assert_eq!(batch["tasks"], batch["succeeded"], "{batch}");
        let parts: Vec<_> = list(batch, "parts").iter().map(|part| part["part"].as_str().expect("a name")).collect();
        assert!(parts.contains(&"functions") && parts.len() > 1, "{parts:?}");
    }
    // Latency is measured on as many workers as there are cores: on machines with one core, on one.
    assert_eq!(list(&results, "latency").len(), 2);
    assert_eq!((list(&results, "load").len(), list(&results, "payload").len()), (2 * 3, 2 * 6));
    assert_eq!(list(&results, "stages").len(), 2);
    for run in list(&results, "stages") {
        assert_eq!((&run["calls"], &run["made"]), (&Value::from(4), &Value::from(4)), "every stage is known: {run}");
        let sum: f64 = list(run, "stages").iter().map(|stage| stage["took"]["mean_us"].as_f64().expect("a time")).sum();
        let whole = run["whole"]["mean_us"].as_f64().expect("a time");
        // Buckets keep three digits.
        assert!((sum / whole - 1.0).abs() < 0.02, "{sum} of {whole}");
    }
    let killed = list(&results, "recovery");
    if results["machine"]["cores"].as_u64() > Some(1) {
        assert_eq!(killed.len(), 1);
        assert_eq!(killed[0]["calls"], killed[0]["succeeded"], "every call survives a killed worker: {killed:?}");
    }
    let analysis = fs::read_to_string(out.join(ANALYSIS)).expect("an analysis");
    assert!(analysis.contains("## Findings") && !analysis.contains("Partial"), "{analysis}");

    // The same results give the same pictures and words.
    place.run(&["plot", "out/performance_results.json", "--out", "again"]).expect(0);
    for name in PICTURES.iter().map(|stem| format!("{stem}.svg")).chain([ANALYSIS.to_owned()]) {
        let read = |folder: &str| fs::read(place.path(folder).join(&name)).expect("a file");
        assert_eq!(read("out"), read("again"), "{name}");
    }
    let file = "out/performance_results.json";
    let compared = place.run(&["compare", file, file, "--out", "compared", "--json"]).expect(0).json();
    assert!(list(&compared, "rows").iter().all(|row| row["ratio"] == 1.0), "{compared}");
    check_picture(&place.path("compared"), "performance_comparison");
}

#[test]
fn ctrl_c_keeps_what_was_measured() {
    let place = Place::new("eval");
    let arguments = ["--modes", "local,push", "--workers", "1", "--store", "embedded", "--repeat", "50"];
    let mut evaluation = place.begin(&[&LITTLE[..], &arguments, &["--out", "out"]].concat());
    wait_for_step(&mut evaluation, "2");
    evaluation.signal(Signal::SIGINT);
    let status = evaluation.wait_within(LONG);
    assert_eq!(status.code(), Some(130), "{status}: {}", evaluation.log());
    place.assert_clean();
    let results = results_in(&place, "out");
    assert_eq!(results["partial"], "interrupted with Ctrl-C");
    assert!(!list(&results, "throughput").is_empty());
    PICTURES.iter().for_each(|stem| check_picture(&place.path("out"), stem));
    let analysis = fs::read_to_string(place.path("out").join(ANALYSIS)).expect("an analysis");
    assert!(analysis.contains("Partial: interrupted with Ctrl-C"), "{analysis}");
}

#[test]
fn clusters_end_with_an_evaluation_that_is_killed() {
    let place = Place::new("eval");
    let arguments = ["--modes", "pull", "--workers", "1", "--store", "embedded", "--repeat", "50"];
    let mut evaluation = place.begin(&[&LITTLE[..], &arguments, &["--out", "out"]].concat());
    wait_for_step(&mut evaluation, "2");
    evaluation.kill();
    place.assert_no_process();
}

#[test]
fn a_target_that_dies_leaves_partial_results_and_a_clear_error() {
    let place = Place::new("eval");
    let mut server: Server = start(Options::slots(1));
    let arguments = ["--workloads", "noop", "--repeat", "50", "--json", "--target", server.url()];
    let mut evaluation = place.begin(&[&LITTLE[..], &arguments, &["--out", "out"]].concat());
    wait_for_step(&mut evaluation, "2");
    server.kill();
    let status = evaluation.wait_within(LONG);
    assert_eq!(status.code(), Some(3), "{status}: {}", evaluation.log());
    let log = evaluation.log();
    let failure: Value = serde_json::from_str(log.lines().last().unwrap_or_default()).expect("a failure in JSON");
    assert!(
        failure["error"].as_str().is_some_and(|error| error.starts_with("the evaluation ended early")),
        "{failure}"
    );
    let results = results_in(&place, "out");
    assert!(results["partial"].as_str().is_some_and(|why| why.contains(server.url())), "{}", results["partial"]);
    assert_eq!(results["settings"]["target"], server.url());
    assert!(!list(&results, "throughput").is_empty());
    PICTURES.iter().for_each(|stem| check_picture(&place.path("out"), stem));
}

#[test]
fn what_cannot_be_measured_is_refused_before_anything_is_started() {
    let place = Place::new("eval");
    fs::write(place.path("file"), "in the way").expect("a file");
    fs::write(place.path("other.json"), "{\"format\": 99}").expect("a file");
    fs::write(place.path("wrong.json"), "[]").expect("a file");
    let nobody = format!("http://127.0.0.1:{}", unused_port());
    let cases: [(&[&str], &str); 9] = [
        (&["--workloads", "noop,gpu"], "--workloads does not know \"gpu\""),
        (&["--workers", "0"], "--workers is 0"),
        (&["--modes", "shove"], "--modes does not know \"shove\""),
        (&["--store", "embedded", "--out", "file/out"], "failed to write to the folder file/out"),
        (&["--target", &nobody], "no server listens at"),
        (&["--target", &nobody, "--workers", "2"], "--workers says how to start a cluster"),
        (&["plot", "missing.json"], "failed to read the results"),
        (&["plot", "other.json"], "failed to read the results"),
        (&["compare", "wrong.json", "wrong.json"], "failed to read the results"),
    ];
    for (arguments, error) in cases {
        let ended = place.run(&[arguments, &["--json"]].concat()).expect(1);
        let failure = ended.failure();
        assert!(failure["error"].as_str().is_some_and(|text| text.contains(error)), "{arguments:?}: {failure}");
        assert_eq!(ended.stdout, "", "{arguments:?}");
    }
    // Not where a server would be found.
    let ended =
        place.command_line().variable("PATH", "/nowhere").run(&["eval", "--store", "redis", "--json"]).expect(1);
    let failure = ended.failure();
    assert_eq!(failure["error"], "there is no redis-server or valkey-server on the path");
    assert!(failure["hint"].as_str().is_some_and(|hint| hint.contains("redis-server")), "{failure}");
    place.assert_clean();
}
