//! Everything that is made of results, from results of a system with known figures.

use std::collections::HashSet;
use std::path::Path;

use bulkhead_eval::comparison::{Comparison, Verdict};
use bulkhead_eval::pictures::{self, Picture, SIZE};
use bulkhead_eval::results::{
    self, Error, FORMAT, Isolation, Latency, Load, Machine, Mode, PartUse, Payload, Recorder, Recovery, Results,
    Scaling, Settings, Setup, StageTime, Stages, Store, Throughput, Workload,
};
use bulkhead_eval::{analysis, summary};

const KINDS: [(Mode, Store); 3] =
    [(Mode::Local, Store::Embedded), (Mode::Pull, Store::Redis), (Mode::Push, Store::Redis)];
const ISOLATIONS: [Isolation; 2] = [Isolation::Fresh, Isolation::Reuse];

fn times(mean_us: f64, random: &mut fastrand::Rng) -> bulkhead_eval::results::Distribution {
    let mut recorder = Recorder::new();
    for _ in 0..500 {
        recorder.record_us((mean_us * (0.7 - 0.3 * (1.0 - random.f64()).ln())) as u64);
    }
    recorder.finish()
}

/// Results of clusters whose throughput is `1000 · faster · workers ^ 0.8` tasks per second.
fn synthetic(faster: f64) -> Results {
    let settings = Settings {
        modes: vec![Mode::Local, Mode::Pull, Mode::Push],
        stores: vec![Store::Embedded, Store::Redis],
        workers: vec![1, 2, 4, 8],
        workloads: Workload::ALL.to_vec(),
        isolations: ISOLATIONS.to_vec(),
        repeat: 3,
        ..Settings::default()
    };
    let machine = Machine { cpu: "a processor".to_owned(), cores: 4, kernel: "Linux".to_owned(), ..Machine::default() };
    let mut all = Results::new("0.1.0", "release", machine, settings, "2026-01-01T00:00:00Z".to_owned());
    let mut random = fastrand::Rng::with_seed(3);
    for (number, (mode, store)) in KINDS.into_iter().enumerate() {
        let slower = 1.0 + number as f64 / 4.0;
        let at = |workers| Setup { mode, store, workers };
        for repetition in 1..=3 {
            for workers in [1_u32, 2, 4, 8] {
                for (workload, isolation) in
                    Workload::ALL.into_iter().flat_map(|work| ISOLATIONS.map(|way| (work, way)))
                {
                    let noise = 1.0 + 0.02 * (random.f64() - 0.5);
                    let rate = 1000.0 * faster / slower * f64::from(workers).powf(0.8) * noise;
                    let tasks = u64::from(100 * workers);
                    let part = |part: &str| PartUse {
                        part: part.to_owned(),
                        processes: 1,
                        cpu_seconds: 0.1,
                        memory_bytes: 30 << 20,
                    };
                    all.throughput.push(Throughput {
                        setup: at(workers),
                        workload,
                        isolation,
                        scaling: vec![Scaling::Weak, Scaling::Strong],
                        repetition,
                        tasks,
                        succeeded: tasks,
                        seconds: tasks as f64 / rate,
                        parts: vec![part("functions"), part("server")],
                    });
                }
            }
            for isolation in ISOLATIONS {
                all.latency.push(Latency {
                    setup: at(4),
                    workload: Workload::Noop,
                    isolation,
                    repetition,
                    calls: 500,
                    succeeded: 500,
                    took: times(400.0 * slower / faster, &mut random),
                });
            }
        }
        for (share, isolation) in [0.2, 0.5, 0.8].into_iter().flat_map(|share| ISOLATIONS.map(|way| (share, way))) {
            all.load.push(Load {
                setup: at(4),
                workload: Workload::Noop,
                isolation,
                offered_per_second: 5000.0 * share,
                share_of_capacity: share,
                seconds: 1.0,
                calls: 500,
                succeeded: 499,
                took: times(300.0 / (1.0 - share), &mut random),
            });
        }
        for bytes in [0, 1 << 10, 1 << 20] {
            let took = times(300.0 + bytes as f64 / 1000.0, &mut random);
            let isolation = Isolation::Reuse;
            all.payload.push(Payload { setup: at(4), isolation, bytes, calls: 500, succeeded: 500, took });
        }
        let names = ["gateway", "queue", "dispatch", "worker link", "executor", "function", "return"];
        let stage =
            |name: &str| StageTime { stage: name.to_owned(), took: times(80.0, &mut fastrand::Rng::with_seed(1)) };
        all.stages.push(Stages {
            setup: at(1),
            isolation: Isolation::Fresh,
            calls: 500,
            made: 500,
            stages: names.map(stage).into(),
            whole: times(560.0, &mut random),
        });
        if mode != Mode::Local {
            all.recovery.push(Recovery {
                setup: at(4),
                isolation: Isolation::Fresh,
                offered_per_second: 100.0,
                killed_after_seconds: 2.0,
                replaced_after_seconds: 4.0,
                bin_seconds: 0.1,
                completed: (0..60).map(|bin| if (20..24).contains(&bin) { 2 } else { 10 }).collect(),
                calls: 600,
                succeeded: 600,
                longest_gap_seconds: 0.21,
                worst_call_seconds: 0.4,
                took: times(9000.0, &mut random),
            });
        }
    }
    all
}

/// Checks that a picture is a picture: it decodes, has its size, and something is on it.
fn check(svg: &Path, png: &Path) {
    let text = std::fs::read_to_string(svg).unwrap();
    let document = roxmltree::Document::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", svg.display()));
    let root = document.root_element();
    assert_eq!(root.attribute("width"), Some(SIZE.0.to_string().as_str()));
    assert_eq!(root.attribute("height"), Some(SIZE.1.to_string().as_str()));
    let words = document.descendants().filter(|node| node.has_tag_name("text")).count();
    assert!(words > 5, "{} has {words} words", svg.display());
    let pixels = image::open(png).unwrap().to_rgb8();
    assert_eq!(pixels.dimensions(), SIZE);
    let inked = pixels.pixels().filter(|pixel| pixel.0 != [255; 3]).count();
    assert!(inked > 10_000, "{} is as good as blank: {inked} pixels", png.display());
    let colours: HashSet<_> = pixels.pixels().map(|pixel| pixel.0).collect();
    assert!(colours.len() > 20, "{} has {} colours", png.display(), colours.len());
}

#[test]
fn every_picture_is_drawn_and_the_same_results_draw_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let files = pictures::draw(&synthetic(1.0), folder.path()).unwrap();
    assert_eq!(files.len(), 2 * Picture::ALL.len());
    for picture in Picture::ALL {
        let file = |ending: &str| folder.path().join(format!("{}.{ending}", picture.file_stem()));
        check(&file("svg"), &file("png"));
        let svg = std::fs::read_to_string(file("svg")).unwrap();
        assert!(!svg.contains("not measured"), "{picture:?}");
    }
    let again = tempfile::tempdir().unwrap();
    for (first, second) in files.iter().zip(pictures::draw(&synthetic(1.0), again.path()).unwrap()) {
        assert_eq!(std::fs::read(first).unwrap(), std::fs::read(second).unwrap(), "{}", first.display());
    }
}

#[test]
fn pictures_of_nothing_say_so() {
    let settings = Settings::default();
    let nothing = Results::new("0", "release", Machine::default(), settings, "2026-01-01T00:00:00Z".to_owned());
    let folder = tempfile::tempdir().unwrap();
    for file in pictures::draw(&nothing, folder.path()).unwrap() {
        if file.extension().is_some_and(|ending| ending == "svg") {
            assert!(std::fs::read_to_string(&file).unwrap().contains("not measured"), "{}", file.display());
        }
    }
}

#[test]
fn the_analysis_has_the_figures_of_the_system() {
    let results = synthetic(1.0);
    let text = analysis::to_markdown(&results);
    assert!(text.contains("the mean exponent of the fitted power laws is 0.80."), "{text}");
    let calls = results.load.len() as u64;
    let (made, good) = summary::success(&results);
    assert_eq!(made - good, calls, "one call in each load failed");
    assert!(text.contains(&format!("**{calls} tasks or calls gave no result.**")), "{text}");
    for picture in Picture::ALL {
        assert!(text.contains(&format!("]({}.png)", picture.file_stem())), "{text}");
    }
}

#[test]
fn two_evaluations_are_compared_with_their_noise() {
    let (before, after) = (synthetic(1.0), synthetic(2.0));
    let comparison = Comparison::new(("before", &before), ("after", &after));
    assert!(comparison.rows.len() > 30 && comparison.warnings.is_empty(), "{:?}", comparison.warnings);
    for row in &comparison.rows {
        let expected = if row.is_throughput { 2.0 } else { 0.5 };
        assert!((row.ratio.value / expected - 1.0).abs() < 0.25, "{row:?}");
        assert_eq!(row.verdict(), Verdict::Better, "{row:?}");
    }
    let same = Comparison::new(("before", &before), ("before", &before));
    assert!(same.rows.iter().all(|row| row.verdict() == Verdict::Same && (row.ratio.value - 1.0).abs() < 1e-9));
    let worse = Comparison::new(("after", &after), ("before", &before));
    assert!(worse.rows.iter().all(|row| row.verdict() == Verdict::Worse));
    let folder = tempfile::tempdir().unwrap();
    let files = pictures::draw_comparison(&comparison, folder.path()).unwrap();
    check(&files[0], &files[1]);
    assert!(comparison.to_markdown().contains("| better |"));
    let partial = Results { partial: Some("interrupted".to_owned()), ..after };
    let comparison = Comparison::new(("before", &before), ("after", &partial));
    assert_eq!(comparison.warnings, ["after is partial: interrupted"]);
}

#[test]
fn results_read_back_as_written_and_others_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("performance_results.json");
    let written = synthetic(1.0);
    results::write(&written, &path).unwrap();
    assert_eq!(results::read(&path).unwrap(), written);
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let schema = serde_json::to_value(results::schema()).unwrap();
    assert!(jsonschema::is_valid(&schema, &json));
    let refused = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut changed = json.clone();
        change(&mut changed);
        std::fs::write(&path, changed.to_string()).unwrap();
        (results::read(&path).unwrap_err(), jsonschema::is_valid(&schema, &changed))
    };
    let newer = refused(&|json| json["format"] = (FORMAT + 1).into());
    assert!(matches!(newer.0, Error::Format { found: 2, .. }), "{newer:?}");
    let more = refused(&|json| json["extra"] = true.into());
    assert!(matches!(more, (Error::Content { .. }, false)), "{more:?}");
    let wrong = refused(&|json| json["throughput"][0]["setup"]["mode"] = "shove".into());
    assert!(matches!(wrong, (Error::Content { .. }, false)), "{wrong:?}");
    json["throughput"] = serde_json::Value::Null;
    assert!(!jsonschema::is_valid(&schema, &json));
    let missing = results::read(Path::new("/nowhere.json")).unwrap_err();
    assert!(missing.to_string().contains("/nowhere.json"), "{missing}");
}

/// The schema that stands in the documentation. `UPDATE_SCHEMA=1` writes it anew.
#[test]
fn the_schema_in_the_documentation_is_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/performance_results.schema.json");
    let schema = format!("{}\n", serde_json::to_string_pretty(&results::schema()).unwrap());
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &schema).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, schema, "run the test with UPDATE_SCHEMA=1, and read the difference");
}
