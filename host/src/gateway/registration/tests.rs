use bulkhead_protocol::function::RequestedLimits;

use super::*;

fn description(names: &[&str]) -> PackageDescription {
    let functions: Vec<_> = names.iter().map(|name| serde_json::json!({"name": name})).collect();
    let json = serde_json::json!({"abi_version": 1, "sdk_version": "0.1.0", "functions": functions});
    serde_json::from_value(json).unwrap()
}

fn selected(names: &[&str], name: Option<&str>) -> Result<Vec<(String, usize)>, Problem> {
    let selection = Selection { name: name.map(str::to_owned), alias: None };
    select(&description(names), PackageId([0; 32]), &selection)
}

#[test]
fn a_name_picks_its_function_or_names_the_only_one() {
    let owned = |pairs: &[(&str, usize)]| -> Vec<_> {
        pairs.iter().map(|(name, index)| ((*name).to_owned(), *index)).collect()
    };
    assert_eq!(selected(&["a", "b"], None).unwrap(), owned(&[("a", 0), ("b", 1)]));
    assert_eq!(selected(&["a", "b"], Some("b")).unwrap(), owned(&[("b", 1)]));
    assert_eq!(selected(&["a"], Some("other")).unwrap(), owned(&[("other", 0)]));
    let told = selected(&["a", "b"], Some("c")).unwrap_err().into_body("r");
    assert_eq!((told.status, told.known), (422, vec!["a".to_owned(), "b".to_owned()]));
}

fn limits(asked: RequestedLimits) -> Result<Limits, Problem> {
    let mut description = description(&["f"]).functions.remove(0);
    description.limits = asked;
    effective_limits(&description, &Limits::default(), &FunctionCaps::default())
}

#[test]
fn an_author_gets_the_defaults_or_what_is_asked_for_up_to_the_cap() {
    assert_eq!(limits(RequestedLimits::default()).unwrap(), Limits::default());
    let cap = FunctionCaps::default().memory.0;
    let memory = |bytes| limits(RequestedLimits { memory_bytes: Some(bytes), ..RequestedLimits::default() });
    assert_eq!(memory(cap).unwrap().memory_bytes, cap);
    let told = memory(cap + 1).unwrap_err().into_body("r");
    assert_eq!((told.status, told.limit.as_deref()), (422, Some("memory_bytes")));
    assert_eq!((told.asked_value, told.limit_value), (Some(cap + 1), Some(cap)));
    assert!(told.detail.contains(&cap.to_string()) && told.detail.contains(&(cap + 1).to_string()));
    assert!(memory(0).is_err());
}

#[test]
fn a_default_of_processor_time_is_not_for_processes_that_are_kept() {
    let defaults = Limits { cpu_ms: Some(1000), ..Limits::default() };
    let mut description = description(&["f"]).functions.remove(0);
    let limits = |description: &_| effective_limits(description, &defaults, &FunctionCaps::default()).unwrap();
    assert_eq!(limits(&description).cpu_ms, Some(1000));
    description.isolation = Some(Isolation::Reuse);
    assert_eq!(limits(&description).cpu_ms, None);
}

#[test]
fn every_limit_that_an_author_can_ask_for_has_a_cap() {
    let too_much = [
        RequestedLimits { timeout_ms: Some(u64::MAX), ..RequestedLimits::default() },
        RequestedLimits { memory_bytes: Some(u64::MAX), ..RequestedLimits::default() },
        RequestedLimits { cpu_ms: Some(u64::MAX), ..RequestedLimits::default() },
        RequestedLimits { threads: Some(u32::MAX), ..RequestedLimits::default() },
        RequestedLimits { tmp_bytes: Some(u64::MAX), ..RequestedLimits::default() },
    ];
    for asked in too_much {
        assert_eq!(limits(asked.clone()).unwrap_err().kind(), Some(Kind::LimitAboveCap), "{asked:?}");
    }
}

#[test]
fn grants_and_isolation_are_capped_like_numbers() {
    let asks = |grant: &str| {
        let json = serde_json::json!({"name": "a", grant: true});
        serde_json::from_value::<FunctionDescription>(json).unwrap()
    };
    let caps = FunctionCaps::default();
    for grant in ["network", "processes", "jit"] {
        let refused = effective_grants(&asks(grant), &caps).unwrap_err();
        assert_eq!(refused.kind(), Some(Kind::LimitAboveCap), "{grant}");
    }
    let all = FunctionCaps { network: true, processes: true, jit: true, ..caps.clone() };
    assert!(effective_grants(&asks("network"), &all).unwrap().network);
    // What nobody asks for nobody gets.
    assert_eq!(effective_grants(&asks("doc_free"), &all).unwrap(), Grants::default());

    let isolated = |isolation| FunctionDescription { isolation, ..asks("doc_free") };
    let given = |isolation, weakest| {
        effective_isolation(&isolated(isolation), &FunctionCaps { isolation: weakest, ..caps.clone() }).ok()
    };
    use Isolation::{Exec, Fresh, Reuse};
    for (asked, weakest, expected) in [
        (None, Reuse, Some(Fresh)),
        (None, Exec, Some(Exec)),
        (Some(Reuse), Reuse, Some(Reuse)),
        (Some(Reuse), Fresh, None),
        (Some(Fresh), Fresh, Some(Fresh)),
        (Some(Fresh), Exec, None),
        (Some(Exec), Exec, Some(Exec)),
    ] {
        assert_eq!(given(asked, weakest), expected, "{asked:?} where {weakest:?} is the weakest");
    }
}

fn agreement(told: &str, asked: &PackageDescription) -> Result<(), Problem> {
    let manifest = package_file::Manifest {
        name: "sample".to_owned(),
        version: "1.0.0".to_owned(),
        arch: "x86_64".to_owned(),
        abi_version: 1,
        sdk_version: "0.1.0".to_owned(),
        glibc: None,
        needed: Vec::new(),
        description: told.to_owned(),
        library_sha256: [0; 32],
        library_bytes: 0,
    };
    check_agreement(&manifest, asked)
}

#[test]
fn a_manifest_must_say_what_the_library_says() {
    let honest = description(&["a"]);
    let told = |description: &PackageDescription| serde_json::to_string(description).unwrap();
    assert!(agreement(&told(&honest), &honest).is_ok());
    let detail = |told: &str, asked: &PackageDescription| agreement(told, asked).unwrap_err().into_body("r").detail;
    assert!(detail(&told(&description(&["b"])), &honest).contains("lists the functions b, the library has a"));
    let mut renamed = honest.clone();
    renamed.functions[0].doc = "other".to_owned();
    assert!(detail(&told(&renamed), &honest).contains("otherwise"));
    assert!(detail("nonsense", &honest).contains("cannot be read"));
    let newer = PackageDescription { abi_version: 2, ..honest.clone() };
    assert!(detail(&told(&newer), &newer).contains("ABI 1"));
    assert!(agreement(&told(&description(&["a", "a"])), &description(&["a", "a"])).is_err());
}
