//! `bulkhead doctor` says what the sandbox holds, on machines that lack something: each lack is a real
//! one, made by a filter of system calls, a namespace or a mount around the command.

use std::path::Path;
use std::process::Command;

use bulkhead_tests::{CommandLine, Ended, LONG, User, is_root, require_or_skip, run_within};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::surroundings::{executables, packages};

/// The layers, in their order.
const LAYERS: [&str; 9] =
    ["namespaces", "ids", "files", "privileges", "child", "system_calls", "network", "limits", "kill"];
/// The exit code of a floor that is not met.
const NOT_MET: i32 = 3;

/// Runs it, in front of it the words of a program that takes something away.
#[track_caller]
fn bulkhead(around: &[&str], arguments: &[&str]) -> Ended {
    let folder = TempDir::new().expect("a temporary folder");
    let command_line = CommandLine::new(executables(), folder.path());
    let command = match around {
        [] => command_line.command(arguments),
        [program, rest @ ..] => {
            let mut command = command_line.program(Path::new(program), rest);
            command.arg(&executables().bulkhead).args(arguments);
            // Another user cannot write to this user's folder, and needs no folder.
            command.current_dir("/");
            command
        }
    };
    run_within(command, b"", LONG)
}

#[track_caller]
fn doctor(around: &[&str], arguments: &[&str], code: i32) -> Value {
    let ended = bulkhead(around, &[&["doctor", "--json"], arguments].concat()).expect(code);
    let report = ended.json();
    assert_eq!(report["healthy"], code == 0, "{report:#}");
    report
}

/// A layer of a report.
#[track_caller]
fn layer<'a>(report: &'a Value, name: &str) -> &'a Value {
    let layers = report["layers"].as_array().expect("a list");
    layers.iter().find(|layer| layer["name"] == name).unwrap_or_else(|| panic!("no {name} in {report:#}"))
}

/// Checks that a layer is missing for a reason, and that there is something to do about it.
#[track_caller]
fn missing(report: &Value, name: &str, why: &[&str]) {
    let layer = layer(report, name);
    assert_eq!(layer["state"], "missing", "{layer:#}");
    assert_eq!(report["floor"]["met"], false);
    assert!(report["floor"]["below"].as_array().expect("a list").contains(&json!(name)), "{report:#}");
    for part in why {
        let told = format!("{} {}", layer["why"], layer["advice"]);
        assert!(told.contains(part), "no {part:?} in {told}");
    }
}

/// The command that takes something away.
fn without(what: &str) -> [String; 2] {
    [env!("CARGO_BIN_EXE_without-under-test").to_owned(), what.to_owned()]
}

/// A program of the system, if it works here.
fn works(program: &str, arguments: &[&str], why: &str) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).arg("true");
    require_or_skip(run_within(command, b"", LONG).code == Some(0), why)
}

/// Checks the report of a machine that can hold every layer.
#[track_caller]
fn check_whole(report: &Value) {
    let layers = report["layers"].as_array().expect("a list");
    let names: Vec<_> = layers.iter().map(|layer| layer["name"].as_str().expect("a name")).collect();
    assert_eq!(names, LAYERS);
    for layer in layers {
        let state = layer["state"].as_str().expect("a word");
        assert!(state == "held" || state == "weaker", "{layer:#}");
        assert_eq!(state == "held", layer["advice"].is_null(), "{layer:#}");
        let checks = layer["checks"].as_array().expect("a list");
        assert!(!checks.is_empty() && checks.iter().all(|check| check["held"] == true), "{layer:#}");
    }
    assert_eq!(report["floor"], json!({"level": "standard", "met": true, "below": []}));
    let controllers = report["cgroups"].as_array().expect("a list");
    for controller in controllers {
        assert_ne!(controller["version"].is_null(), controller["missing"].is_null(), "{controller:#}");
        assert_eq!(controller["missing"].is_null(), controller["advice"].is_null(), "{controller:#}");
    }
}

#[test]
fn every_layer_is_tried_on_this_machine() {
    let report = doctor(&[], &[], 0);
    check_whole(&report);
    // Some layers hold in full wherever a sandbox can be built at all.
    for name in ["namespaces", "files", "privileges", "network", "kill"] {
        assert_eq!(layer(&report, name)["state"], "held", "{report:#}");
    }
    let text = bulkhead(&[], &["doctor"]).expect(0);
    assert!(text.stdout.contains("the floor (standard) is met"), "{}", text.stdout);
    assert!(text.stdout.starts_with("LAYER\tSTATE\tWHY\nnamespaces\theld\t"), "{}", text.stdout);
}

#[test]
fn an_ordinary_user_has_every_layer_too() {
    if !require_or_skip(is_root(), "the tests do not run as root, so they cannot change the user") {
        return;
    }
    let id = User::unused().id.to_string();
    let setpriv = ["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups", "--"];
    let reaches = |file: &Path| {
        let mut command = Command::new(setpriv[0]);
        command.args(&setpriv[1..]).args(["test", "-x"]).arg(file);
        run_within(command, b"", LONG).code == Some(0)
    };
    let reachable = reaches(&executables().bulkhead) && reaches(&executables().runner);
    if !require_or_skip(reachable, "an ordinary user cannot reach the executables") {
        return;
    }
    let report = doctor(&setpriv, &[], 0);
    check_whole(&report);
    assert_eq!(layer(&report, "ids")["state"], "held");
    assert_eq!(report["machine"]["user"].to_string(), id);
    let with_groups = ["setpriv", "--reuid", &id, "--regid", &id, "--groups", "4", "--"];
    let report = doctor(&with_groups, &[], 0);
    assert_eq!(layer(&report, "ids")["state"], "weaker", "{report:#}");
}

#[test]
fn user_namespaces_that_are_switched_off() {
    let around = ["unshare", "--user", "--map-root-user", "--"];
    if !works(around[0], &around[1..], "this user may make no user namespaces") {
        return;
    }
    let off = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";
    let report = doctor(&[&around[..], &["sh", "-c", off, "sh"]].concat(), &[], NOT_MET);
    missing(&report, "namespaces", &["clone into new namespaces", "sysctl user.max_user_namespaces="]);
    for name in &LAYERS[1..] {
        assert_eq!(layer(&report, name)["state"], "unknown");
    }
}

#[test]
fn namespaces_that_a_containers_filter_forbids() {
    let [program, what] = without("namespaces");
    let report = doctor(&[&program, &what], &[], NOT_MET);
    missing(&report, "namespaces", &["Operation not permitted", "seccomp"]);
}

#[test]
fn a_sandbox_is_whole_where_a_containers_filter_has_no_clone3() {
    let [program, what] = without("clone3");
    let report = doctor(&[&program, &what], &[], 0);
    check_whole(&report);
    assert_eq!(layer(&report, "kill")["state"], "held", "{report:#}");
}

#[test]
fn mounts_that_are_forbidden() {
    let [program, what] = without("mounts");
    let report = doctor(&[&program, &what], &[], NOT_MET);
    missing(&report, "files", &["mount", "Permission denied", "apparmor=unconfined"]);
}

#[test]
fn filters_that_are_forbidden() {
    let [program, what] = without("seccomp");
    let report = doctor(&[&program, &what], &[], NOT_MET);
    missing(&report, "system_calls", &["system call filter", "CONFIG_SECCOMP_FILTER"]);
}

#[test]
fn without_landlock_the_floor_decides() {
    let [program, what] = without("landlock");
    let around = [program.as_str(), &what];
    let report = doctor(&around, &[], NOT_MET);
    missing(&report, "child", &["Landlock is there", "it was done", "lsm="]);
    assert_eq!(report["floor"]["below"], json!(["child"]));
    let checks = layer(&report, "child")["checks"].as_array().expect("a list");
    let sibling = checks.iter().find(|check| check["what"] == "cannot open another call's folder").expect("a check");
    assert_eq!(sibling["held"], false, "the folder of another call was not tried for real");
    let lower = doctor(&around, &["--sandbox-floor", "minimal"], 0);
    assert_eq!(layer(&lower, "child")["state"], "missing");
    let text = bulkhead(&around, &["doctor"]).expect(NOT_MET).stdout;
    assert!(text.contains("the floor (standard) is NOT met: child fence"), "{text}");
}

#[test]
fn without_cgroups_rlimits_stand_in_for_them() {
    let hide = "mount -t tmpfs none /sys/fs/cgroup && exec \"$@\"";
    let around = ["unshare", "--mount", "--", "sh", "-c", hide, "sh"];
    if !works(around[0], &around[1..], "cgroups cannot be hidden from a process here") {
        return;
    }
    let report = doctor(&around, &[], 0);
    let limits = layer(&report, "limits");
    assert_eq!(limits["state"], "weaker", "{limits:#}");
    assert!(limits["why"].as_str().expect("text").contains("RLIMIT_DATA"), "{limits:#}");
    for controller in report["cgroups"].as_array().expect("a list") {
        assert!(controller["missing"].as_str().expect("a reason").contains("hidden"), "{controller:#}");
    }
    let strict = doctor(&around, &["--sandbox-floor", "strict"], NOT_MET);
    assert!(strict["floor"]["below"].as_array().expect("a list").contains(&json!("limits")), "{strict:#}");
}

#[test]
fn what_is_configured_and_not_there() {
    let report = doctor(&[], &["--runner", "/nowhere/runner"], NOT_MET);
    assert_eq!(report["layers"], json!([]));
    let told = report["surroundings"].to_string();
    assert!(told.contains("/nowhere/runner") && told.contains("--runner"), "{told}");

    // A port that was free a moment ago; nobody answers there.
    let url = format!("redis://:secret@127.0.0.1:{}", bulkhead_tests::unused_port());
    let report = doctor(&[], &["--redis", &url], NOT_MET);
    assert_eq!(report["floor"]["met"], true);
    let redis = report["surroundings"].as_array().expect("a list").iter().find(|found| found["what"] == "Redis");
    let redis = redis.expect("it was looked at");
    assert_eq!(redis["verdict"], "bad", "{redis:#}");
    assert!(!report.to_string().contains("secret"), "{report:#}");

    let wrong = bulkhead(&[], &["doctor", "--sandbox-floor", "perfect"]).expect(1);
    assert!(wrong.stderr.contains("perfect") && wrong.stderr.contains("strict"), "{}", wrong.stderr);
}

#[test]
fn a_server_refuses_to_start_below_its_floor_and_says_what_to_do() {
    let [program, what] = without("landlock");
    let around = [program.as_str(), &what];
    let folder = TempDir::new().expect("a temporary folder");
    let data = folder.path().join("data");
    let data = data.to_str().expect("UTF-8");
    let up = ["up", "--port", "0", "--data", data];
    let refused = bulkhead(&around, &up).expect(1);
    for part in ["below its floor (standard)", "Landlock", "bulkhead doctor", "--allow-weaker-sandbox", "lsm="] {
        assert!(refused.stderr.contains(part), "no {part:?} in: {}", refused.stderr);
    }
    // So does every command that builds a sandbox, unless the floor is lower or need not be met.
    let package = folder.path().join("hello.bhpkg");
    std::fs::write(&package, packages().get("hello")).expect("a file");
    let check = ["check", package.to_str().expect("UTF-8")];
    let refused = bulkhead(&around, &check).expect(NOT_MET);
    assert!(refused.stderr.contains("hint:") && refused.stderr.contains("Landlock"), "{}", refused.stderr);
    for allowed in [&["--allow-weaker-sandbox"][..], &["--sandbox-floor", "minimal"]] {
        let checked = bulkhead(&around, &[&check, allowed].concat()).expect(0);
        assert!(checked.stdout.contains("hello"), "{}", checked.stdout);
    }
}
