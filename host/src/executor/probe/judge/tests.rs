//! Over trials as they come out on a healthy machine, each with one thing amiss.

use bulkhead_protocol::probe::Surroundings;
use nix::errno::Errno;

use super::*;
use crate::executor::cgroup::Missing;
use crate::executor::floor::Floor;
use crate::executor::probe::report::Report;

const STATUS: &str = "\
Name:\tbulkhead-runner
Uid:\t1900000001\t1900000001\t1900000001\t1900000001
Gid:\t1900000001\t1900000001\t1900000001\t1900000001
Groups:\t
NSpid:\t4711\t2
CapInh:\t0000000000000000
CapPrm:\t0000000000000000
CapEff:\t0000000000000000
CapBnd:\t0000000000000000
CapAmb:\t0000000000000000
NoNewPrivs:\t1
Seccomp:\t2
Seccomp_filters:\t1";

fn seen() -> Seen {
    let refused = |act| (act, Tried::Refused("EPERM".to_owned()));
    Seen {
        failure: None,
        status: STATUS.to_owned(),
        around: Some(Surroundings {
            pid: 3,
            parent: 1,
            user: 1000,
            host_name: "bulkhead".to_owned(),
            root: ROOT.map(str::to_owned).to_vec(),
            open_files: 0,
            core_files: false,
        }),
        is_supervised: true,
        acts: Act::ALL.into_iter().map(refused).collect(),
    }
}

fn machine() -> Machine {
    Machine {
        kernel: "6.12.0".to_owned(),
        kernel_is_new_enough: true,
        user: 0,
        user_namespaces: Default::default(),
        landlock_abi: Some(6),
        landlock_missing: None,
        seccomp_notification: true,
    }
}

fn cgroups() -> Vec<Finding> {
    ["memory", "pids", "cgroup.kill"]
        .map(|name| Finding { name, found: Ok((Version::V2, "/sys/fs/cgroup/bulkhead-1-0".into())) })
        .to_vec()
}

/// The layers that are not held, with their states.
fn amiss(layers: &[Layer]) -> Vec<(LayerName, State)> {
    layers.iter().filter(|layer| layer.state != State::Held).map(|layer| (layer.name, layer.state)).collect()
}

#[test]
fn on_a_healthy_machine_every_layer_is_held_and_in_its_place() {
    let layers = judge(&seen(), &machine(), &cgroups());
    assert_eq!(layers.iter().map(|layer| layer.name).collect::<Vec<_>>(), LayerName::ALL);
    assert_eq!(amiss(&layers), []);
    assert!(layers.iter().all(|layer| layer.advice.is_none() && !layer.checks.is_empty()), "{layers:#?}");
    // As many acts as there are, so that none is tried for nothing.
    let acts = layers.iter().flat_map(|layer| &layer.checks).filter(|check| check.what.starts_with("cannot "));
    assert_eq!(acts.count(), Act::ALL.len());
}

#[test]
fn an_act_that_was_done_takes_its_layer_away() {
    for (act, layer) in [
        (Act::BecomeRoot, LayerName::Ids),
        (Act::ReadProc, LayerName::Files),
        (Act::RaiseLimit, LayerName::Privileges),
        (Act::OpenSibling, LayerName::Child),
        (Act::Fork, LayerName::SystemCalls),
        (Act::SocketInet, LayerName::Network),
        (Act::MuchMemory, LayerName::Limits),
        (Act::SleepForever, LayerName::Kill),
    ] {
        for tried in [Tried::Done, Tried::Odd("Crashed".to_owned())] {
            let mut seen = seen();
            let place = seen.acts.iter_mut().find(|(tried, _)| *tried == act).unwrap();
            place.1 = tried;
            let layers = judge(&seen, &machine(), &cgroups());
            assert_eq!(amiss(&layers), [(layer, State::Missing)], "{act:?}");
        }
    }
}

#[test]
fn what_the_kernel_says_of_the_process_counts() {
    for (from, to, layer) in [
        ("NSpid:\t4711\t2", "NSpid:\t4711", LayerName::Namespaces),
        ("Uid:\t1900000001", "Uid:\t0", LayerName::Ids),
        ("CapBnd:\t0000000000000000", "CapBnd:\t0000000000000020", LayerName::Privileges),
        ("CapAmb:\t0000000000000000", "", LayerName::Privileges),
        ("NoNewPrivs:\t1", "NoNewPrivs:\t0", LayerName::Privileges),
        ("Seccomp:\t2", "Seccomp:\t0", LayerName::SystemCalls),
    ] {
        let seen = Seen { status: STATUS.replace(from, to), ..seen() };
        assert_eq!(amiss(&judge(&seen, &machine(), &cgroups())), [(layer, State::Missing)], "{to}");
    }
}

#[test]
fn what_is_left_of_the_host_is_found() {
    let with = |change: fn(&mut Surroundings)| {
        let mut seen = seen();
        change(seen.around.as_mut().unwrap());
        amiss(&judge(&seen, &machine(), &cgroups()))
    };
    assert_eq!(with(|around| around.root.push("etc".to_owned())), [(LayerName::Files, State::Missing)]);
    assert_eq!(with(|around| around.open_files = 1), [(LayerName::Privileges, State::Missing)]);
    assert_eq!(with(|around| around.host_name = "laptop".to_owned()), [(LayerName::Namespaces, State::Missing)]);
    assert_eq!(with(|around| around.parent = 2), [(LayerName::Namespaces, State::Missing)]);
}

#[test]
fn an_ordinary_user_runs_calls_as_itself_and_should_have_no_groups() {
    let machine = Machine { user: 1000, ..machine() };
    let own = STATUS.replace("1900000001", "1000");
    let status = |groups: &str| Seen { status: own.replace("Groups:\t", groups), ..seen() };
    assert_eq!(amiss(&judge(&status("Groups:\t"), &machine, &cgroups())), []);
    assert_eq!(amiss(&judge(&status("Groups:\t1000"), &machine, &cgroups())), []);
    let layers = judge(&status("Groups:\t27 1000"), &machine, &cgroups());
    assert_eq!(amiss(&layers), [(LayerName::Ids, State::Weaker)]);
    assert_eq!(amiss(&judge(&seen(), &machine, &cgroups())), [(LayerName::Ids, State::Missing)]);
}

#[test]
fn without_cgroups_limits_are_weaker_and_say_why() {
    let missing = Missing::NotOffered { own: "/sys/fs/cgroup/user.slice".into() };
    let mut found = cgroups();
    found[0].found = Err(missing);
    let layers = judge(&seen(), &machine(), &found);
    assert_eq!(amiss(&layers), [(LayerName::Limits, State::Weaker)]);
    let limits = &layers[7];
    assert!(limits.why.contains("RLIMIT_DATA") && limits.why.contains("/sys/fs/cgroup/user.slice"), "{}", limits.why);
    assert!(limits.advice.as_ref().unwrap().contains("Delegate=yes"), "{limits:?}");
}

#[test]
fn an_older_landlock_is_weaker_and_none_is_missing() {
    let older = Machine { landlock_abi: Some(2), ..machine() };
    assert_eq!(amiss(&judge(&seen(), &older, &cgroups())), [(LayerName::Child, State::Weaker)]);
    let none = Machine { landlock_abi: None, landlock_missing: Some("it is switched off".to_owned()), ..machine() };
    let layers = judge(&seen(), &none, &cgroups());
    assert_eq!(amiss(&layers), [(LayerName::Child, State::Missing)]);
    assert!(layers[4].why.contains("it is switched off"), "{}", layers[4].why);
    assert!(layers[4].advice.as_ref().unwrap().contains("lsm="), "{:?}", layers[4].advice);
}

#[test]
fn calls_that_are_refused_and_not_named_make_the_filter_weaker() {
    let layers = judge(&Seen { is_supervised: false, ..seen() }, &machine(), &cgroups());
    assert_eq!(amiss(&layers), [(LayerName::SystemCalls, State::Weaker)]);
}

#[test]
fn without_a_sandbox_one_layer_is_to_blame_and_of_the_rest_nothing_is_known() {
    let failure = Some(("clone into new namespaces".to_owned(), Errno::EPERM as i32));
    let layers = judge(&Seen { failure, ..Seen::default() }, &machine(), &cgroups());
    assert_eq!(layers[0].state, State::Missing);
    assert!(layers[0].why.contains("Operation not permitted") && layers[0].advice.is_some(), "{:?}", layers[0]);
    assert!(layers[1..].iter().all(|layer| layer.state == State::Unknown), "{layers:#?}");
}

#[test]
fn floors_ask_for_more_and_more() {
    let below = |layers: Vec<Layer>| {
        let report = Report { layers, cgroups: Vec::new() };
        [Floor::Minimal, Floor::Standard, Floor::Strict].map(|floor| floor.below(&report).is_empty())
    };
    assert_eq!(below(judge(&seen(), &machine(), &cgroups())), [true, true, true]);
    let older = Machine { landlock_abi: Some(2), ..machine() };
    assert_eq!(below(judge(&seen(), &older, &cgroups())), [true, true, false]);
    let none = Machine { landlock_abi: None, ..machine() };
    assert_eq!(below(judge(&seen(), &none, &cgroups())), [true, false, false]);
    let failure = Some(("put up the system call filter".to_owned(), Errno::ENOSYS as i32));
    let no_sandbox = judge(&Seen { failure, ..Seen::default() }, &machine(), &cgroups());
    assert_eq!(below(no_sandbox), [false, false, false]);
}
