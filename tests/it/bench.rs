//! `bulkhead bench`: real runs of a few cases. Looked at are shapes and what is left behind, not figures.

use std::fs;

use bulkhead_tests::LONG;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::place::{Place, wait_for};

#[track_caller]
fn list<'a>(value: &'a Value, name: &str) -> &'a Vec<Value> {
    value[name].as_array().unwrap_or_else(|| panic!("{name} of {value}"))
}

#[track_caller]
fn positive(value: &Value) -> f64 {
    let number = value.as_f64().unwrap_or_else(|| panic!("{value} is no number"));
    assert!(number > 0.0, "{number}");
    number
}

#[test]
fn a_short_run_has_floors_figures_and_ratios_and_can_be_compared() {
    let place = Place::new("bench");
    let ended = place.run(&["P3", "p2", "--quick", "--repeat", "2", "--json"]).expect(0);
    place.assert_clean();
    let run = ended.json();
    assert_eq!((&run["format"], &run["repeat"], &run["quick"]), (&1.into(), &2.into(), &true.into()), "{run}");
    assert!(run["partial"].is_null() && run["machine"]["cores"].as_u64() > Some(0), "{run}");
    let cases: Vec<_> = list(&run, "lines").iter().map(|line| line["case"].as_str().expect("a case")).collect();
    assert_eq!(cases, ["P2", "P3"], "in the order of the cases, whatever that of the arguments");
    for line in list(&run, "lines") {
        assert_eq!(list(line, "repeats").len(), 2, "{line}");
        for repeat in list(line, "repeats") {
            positive(&repeat["floor"]);
            positive(&repeat["figure"]);
        }
        let ratio = &line["summary"]["ratio"];
        assert!(positive(&ratio["min"]) <= positive(&ratio["max"]), "{line}");
    }
    let parts = &run["lines"][0]["repeats"][0]["parts"];
    let sum = positive(&parts["echo_p50_us"]) + positive(&parts["round_trip_us"]);
    assert!((sum - positive(&run["lines"][0]["repeats"][0]["floor"])).abs() < 1e-6, "{parts}");
    if cfg!(debug_assertions) {
        assert_eq!(run["profile"], "debug");
        assert!(list(&run, "notes").iter().any(|note| note.as_str().is_some_and(|note| note.contains("debug build"))));
    }

    fs::write(place.path("before.json"), &ended.stdout).expect("a file");
    let again = place.run(&["p2", "--quick", "--repeat", "1", "--json", "--compare", "before.json"]).expect(0).json();
    let rows = list(&again, "comparison");
    assert_eq!((rows.len(), &rows[0]["case"]), (1, &"P2".into()), "{again}");
    positive(&rows[0]["change"]);
    assert!(!list(&again, "doubts").is_empty(), "one repeat has no noise: {again}");
}

#[test]
fn ctrl_c_ends_a_run_in_order() {
    let place = Place::new("bench");
    let mut run = place.begin(&["p2", "p3", "--quick", "--repeat", "50"]);
    wait_for(&mut run, "2 of 50");
    run.signal(Signal::SIGINT);
    let status = run.wait_within(LONG);
    assert_eq!(status.code(), Some(130), "{status}: {}", run.log());
    assert!(run.log().contains("interrupted with Ctrl-C"), "{}", run.log());
    place.assert_clean();
}

#[test]
fn whatever_it_started_ends_with_a_run_that_is_killed() {
    let place = Place::new("bench");
    for case in ["p2", "p3"] {
        let mut run = place.begin(&[case, "--quick", "--repeat", "50"]);
        wait_for(&mut run, "2 of 50");
        run.kill();
        place.assert_no_process();
    }
}

#[test]
fn what_cannot_be_measured_is_refused_before_anything_is_started() {
    let place = Place::new("bench");
    fs::write(place.path("other.json"), "{\"format\": 99}").expect("a file");
    let cases: [(&[&str], &str); 4] = [
        (&["p12"], "[possible values: p1, p2, p3, p4, p5, p6, p7, p8, p9, p10, p11]"),
        (&["--repeat", "0"], "--repeat is 0; it may be 1 to 100"),
        (&["--compare", "missing.json"], "failed to read missing.json"),
        (&["--compare", "other.json"], "has format 99"),
    ];
    for (arguments, error) in cases {
        let ended = place.run(arguments).expect(1);
        assert!(ended.stderr.contains(error), "{arguments:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{arguments:?}");
    }
    let listed = place.run(&["--list", "--json"]).expect(0).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(11), "{listed}");
    place.assert_clean();
}
