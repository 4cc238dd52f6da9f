use bulkhead_protocol::limits::LimitKind;
use bulkhead_protocol::outcome::Usage;

use super::*;

fn of_outcome(outcome: Outcome) -> Problem {
    let described = api::Outcome::without_logs(outcome.clone(), Usage::default());
    Problem::of_outcome(&outcome, described)
}

#[test]
fn each_outcome_has_its_status() {
    let message = || "m".to_owned();
    let cases = [
        (Outcome::FunctionError { code: message(), message: message(), retryable: true }, 500, "function-error"),
        (Outcome::InvalidInput { path: message(), message: message() }, 422, "invalid-input"),
        (Outcome::Panicked { message: message(), location: None }, 500, "panicked"),
        (Outcome::Crashed { signal: message() }, 500, "crashed"),
        (Outcome::Exited { code: 1 }, 500, "exited"),
        (Outcome::TimedOut { limit_ms: 1 }, 504, "timed-out"),
        (Outcome::OutOfMemory { limit_bytes: 1, inferred: false }, 507, "out-of-memory"),
        (Outcome::LimitExceeded { limit: LimitKind::Threads, value: 1 }, 500, "limit-exceeded"),
        (Outcome::PolicyViolation { syscall: None, args: None }, 500, "policy-violation"),
        (Outcome::ProtocolViolation { what: message() }, 500, "protocol-violation"),
        (Outcome::LoadFailed { reason: message() }, 500, "load-failed"),
        (Outcome::SetupFailed { step: message(), errno: 1 }, 503, "setup-failed"),
        (Outcome::Cancelled, 499, "cancelled"),
        (Outcome::WorkerLost, 503, "worker-lost"),
        (Outcome::Expired, 504, "task-expired"),
    ];
    for (outcome, status, slug) in cases {
        let problem = of_outcome(outcome.clone());
        assert_eq!((problem.status().as_u16(), problem.kind().unwrap().slug()), (status, slug), "{outcome:?}");
        let body = problem.into_body("r");
        assert_eq!(body.outcome.unwrap().kind, outcome.into());
    }
}

#[test]
fn platform_failures_are_worth_another_try_and_function_failures_say_so_themselves() {
    let retryable = |outcome| of_outcome(outcome).into_body("r").retryable;
    assert!(retryable(Outcome::WorkerLost));
    assert!(retryable(Outcome::SetupFailed { step: "mount".into(), errno: 1 }));
    assert!(!retryable(Outcome::Crashed { signal: "SIGSEGV".into() }));
    let error = |retryable| Outcome::FunctionError { code: "E".into(), message: "m".into(), retryable };
    assert!(retryable(error(true)));
    assert!(!retryable(error(false)));
}

#[test]
fn every_kind_has_a_page_that_names_its_title_and_status() {
    for kind in Kind::ALL {
        let (status, slug, title, _) = kind.facts();
        let page = kind.page();
        assert!(page.starts_with(&format!("# {title}\n")), "docs/errors/{slug}.md does not begin with {title:?}");
        assert!(page.contains(&format!("`{status}`")), "docs/errors/{slug}.md does not name `{status}`");
        assert_eq!(Kind::by_slug(slug), Some(*kind), "two kinds share the slug {slug}");
        assert!((400..600).contains(&status));
    }
}

#[test]
fn every_page_belongs_to_a_kind() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors");
    for page in std::fs::read_dir(folder).unwrap() {
        let file = page.unwrap().file_name().into_string().unwrap();
        let slug = file.strip_suffix(".md").unwrap();
        assert!(slug == "README" || Kind::by_slug(slug).is_some(), "docs/errors/{file} explains no kind of problem");
    }
}

#[test]
fn package_files_that_cannot_be_read_are_malformed_and_others_refused() {
    use package_file::Error;
    let slug = |error: Error| Problem::from(error).kind().unwrap().slug();
    assert_eq!(slug(Error::NotAPackage), "malformed-payload");
    assert_eq!(slug(Error::Truncated { detail: "x".into() }), "malformed-payload");
    assert_eq!(slug(Error::DigestMismatch), "malformed-payload");
    assert_eq!(slug(Error::UnknownFormat { found: 9 }), "refused-package");
    assert_eq!(slug(Error::LibraryMismatch { detail: "x".into() }), "refused-package");
    let body = Problem::from(Error::TooLarge { bytes: 9 }).into_body("r");
    assert_eq!((body.status, body.limit.as_deref(), body.asked_value), (413, Some("package_bytes"), Some(9)));
}

#[test]
fn what_the_store_says_is_not_sent() {
    let problem = Problem::from(store::Error::Unavailable { reason: "secret path".into() });
    assert_eq!((problem.status().as_u16(), problem.retry_after_s()), (503, Some(RETRY_AFTER_OUTAGE_S)));
    assert!(!problem.into_body("r").detail.contains("secret"));
}

#[test]
fn the_body_leaves_out_what_says_nothing() {
    let body = Problem::invalid("args", "`args` is missing").into_body("req-1");
    let expected = serde_json::json!({
        "type": "/errors/invalid-request", "title": "Invalid request", "status": 422,
        "detail": "`args` is missing", "request_id": "req-1", "retryable": false, "field": "args",
    });
    assert_eq!(serde_json::to_value(body).unwrap(), expected);
}
