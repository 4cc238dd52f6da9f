//! Health, the OpenAPI document, the pages for people.

use std::collections::BTreeSet;

use bulkhead_tests::{Options, checkout};
use serde_json::json;

use crate::surroundings::{problem, server_with, start};

#[test]
fn health_and_readiness() {
    let server = start(Options::slots(3));
    let client = server.client();
    for slash in ["", "/"] {
        assert_eq!(client.get(&format!("/healthz{slash}")).expect(200).text(), "ok\n");
        let ready = client.get(&format!("/readyz{slash}")).expect(200).json();
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(ready, json!({"status": "ok", "version": version, "slots": 3, "queued": 0}));
    }
    assert!(client.get("/").expect(200).header("content-type").starts_with("text/html"));
    server.stop();
}

#[test]
fn the_document_names_every_route_and_its_references_lead_somewhere() {
    let server = start(Options::default());
    let document = server.client().get("/openapi.json").expect(200).json();
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.")), "{document}");
    let expected: BTreeSet<&str> = BTreeSet::from([
        "post /register_function",
        "post /execute_function",
        "get /status/{task_id}",
        "get /result/{task_id}",
        "get /v1/functions",
        "post /v1/functions",
        "get /v1/functions/{reference}",
        "delete /v1/functions/{reference}",
        "get /v1/functions/{reference}/versions",
        "put /v1/functions/{reference}/aliases/{alias}",
        "post /v1/functions/{reference}/invoke",
        "get /v1/tasks",
        "post /v1/tasks",
        "post /v1/tasks:batch",
        "get /v1/tasks/{id}",
        "delete /v1/tasks/{id}",
        "get /v1/tasks/{id}/result",
        "get /v1/tasks/{id}/logs",
        "get /v1/dead-letters",
        "get /v1/workers",
        "post /v1/workers/{id}:drain",
        "get /healthz",
        "get /readyz",
        "get /errors/{slug}",
    ]);
    let paths = document["paths"].as_object().expect("paths");
    let described: BTreeSet<String> = paths
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().expect("methods").keys().map(move |method| format!("{method} {path}"))
        })
        .collect();
    assert_eq!(described.iter().map(String::as_str).collect::<BTreeSet<_>>(), expected);

    let text = document.to_string();
    let references: BTreeSet<&str> =
        text.split("\"$ref\":\"").skip(1).map(|rest| rest.split('"').next().unwrap_or_default()).collect();
    assert!(references.len() > 10, "{references:?}");
    for reference in references {
        let pointer = reference.strip_prefix('#').expect("a place in this document");
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

#[test]
fn the_documentation_page_loads_nothing_from_elsewhere() {
    let server = start(Options::default());
    let client = server.client();
    let page = client.get("/docs/").expect(200).text();
    assert!(page.contains("swagger-ui"), "{page}");
    let mut loaded = Vec::new();
    for attribute in ["src=\"", "href=\""] {
        for link in page.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(!link.contains("//"), "the page loads {link}");
            loaded.push(link.trim_start_matches("./").to_owned());
        }
    }
    assert!(loaded.len() >= 3, "{loaded:?}");
    for link in loaded {
        let path = if link.starts_with('/') { link.clone() } else { format!("/docs/{link}") };
        assert!(!client.get(&path).expect(200).body.is_empty(), "{link}");
    }
    let settings = client.get("/docs/swagger-initializer.js").expect(200).text();
    assert!(settings.contains("/openapi.json"), "{settings}");
    assert!(!settings.contains("http://") && !settings.contains("https://"), "{settings}");
    let landing = client.get("/").expect(200).text();
    for attribute in ["src=\"", "href=\"", "url("] {
        for link in landing.split(attribute).skip(1) {
            assert!(!link.starts_with("http"), "the landing page loads {link:.60}");
        }
    }
}

#[test]
fn every_kind_of_problem_has_its_page() {
    let server = server_with(Options::default(), &[]);
    let client = server.client();
    let mut pages = 0;
    for entry in std::fs::read_dir(checkout().join("docs/errors")).expect("pages").flatten() {
        let path = entry.path();
        let slug = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if slug == "README" {
            continue;
        }
        let page = client.get(&format!("/errors/{slug}")).expect(200);
        assert_eq!(page.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(page.text(), std::fs::read_to_string(&path).expect("a page"));
        pages += 1;
    }
    assert!(pages > 30, "{pages} pages");
    let unknown = problem(client.get("/errors/nothing"), 404, "unknown-path");
    assert_eq!(unknown["detail"], "there is no kind of problem nothing");
}
