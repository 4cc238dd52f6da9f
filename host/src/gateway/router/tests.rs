use std::collections::BTreeSet;

use super::*;

#[test]
fn every_path_is_described_and_every_described_path_exists() {
    let described: BTreeSet<String> = openapi::document().paths.paths.into_keys().collect();
    let routed: BTreeSet<String> = table().into_iter().map(|(path, _)| path.to_owned()).collect();
    assert_eq!(described, routed);
}

#[test]
fn no_two_routes_collide() {
    // Panics when they do.
    let _ = routes();
}

#[test]
fn the_document_describes_every_schema_that_it_refers_to() {
    let document = serde_json::to_value(openapi::document()).unwrap();
    let mut references = BTreeSet::new();
    collect_references(&document, &mut references);
    assert!(references.contains("#/components/schemas/Problem"));
    for reference in references {
        let pointer = reference.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

fn collect_references(value: &serde_json::Value, found: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(members) => {
            if let Some(reference) = members.get("$ref").and_then(serde_json::Value::as_str) {
                found.insert(reference.to_owned());
            }
            members.values().for_each(|member| collect_references(member, found));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect_references(item, found)),
        _ => {}
    }
}
