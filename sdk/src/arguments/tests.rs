//! What callers are told about their arguments.

use serde::Deserialize;

use super::*;

#[derive(Debug, PartialEq, Deserialize, schemars::JsonSchema)]
struct Size {
    width: u32,
}

type Sample = (u32, Option<Vec<Size>>);
const NAMES: &[&str] = &["a", "b"];

fn json(input: &str) -> Result<Sample, (String, String)> {
    from_json(input.as_bytes(), NAMES).map_err(|fault| (fault.path, fault.message))
}

fn fault(input: &str) -> (String, String) {
    json(input).unwrap_err()
}

#[test]
fn by_name_and_by_position() {
    let expected = (1, Some(vec![Size { width: 2 }]));
    assert_eq!(json(r#"{"b":[{"width":2}],"a":1}"#).unwrap(), expected);
    assert_eq!(json(r#"[1,[{"width":2}]]"#).unwrap(), expected);
    assert_eq!(json(r#"{"a":1}"#).unwrap(), (1, None));
    assert_eq!(json(r#"{"a":1,"b":null}"#).unwrap(), (1, None));
    assert_eq!(json("[1]").unwrap(), (1, None));
}

#[test]
fn no_arguments() {
    for input in ["", " \n", "null", "{}", "[]"] {
        assert_eq!(from_json::<()>(input.as_bytes(), &[]), Ok(()), "{input:?}");
        assert_eq!(from_json::<(Option<u8>,)>(input.as_bytes(), &["x"]), Ok((None,)), "{input:?}");
        let (path, message) = fault(input);
        assert_eq!(path, "args.a", "{input:?}");
        assert!(message.starts_with("the argument `a` is missing"), "{message}");
    }
}

#[test]
fn faults_name_the_place() {
    let (path, message) = fault(r#"{"a":1,"b":[{"width":1},{"width":2},{"width":"x"}]}"#);
    assert_eq!(path, "args.b[2].width");
    assert!(message.starts_with(r#"invalid type: string "x", expected u32"#), "{message}");
    assert_eq!(fault(r#"[1,[{"width":-1}]]"#).0, "args.b[0].width");
    assert_eq!(fault(r#"{"a":"x"}"#).0, "args.a");
    assert_eq!(fault(r#"{"a":1,"b":[{}]}"#).0, "args.b[0]");
}

#[test]
fn strangers_and_twins_are_refused() {
    let (path, message) = fault(r#"{"a":1,"c":2}"#);
    assert_eq!(path, "args.c");
    assert!(message.contains("expected a, b"), "{message}");
    assert!(fault(r#"{"a":1,"a":2}"#).1.contains("given twice"));
    assert!(fault("[1,null,3]").1.contains("at most 2 arguments"));
    assert!(fault(r#"{"a":1} x"#).1.contains("trailing characters"));
    assert!(fault("5").1.contains("an object of arguments by name"));
    assert!(fault("{\"a\":").1.contains("EOF"));
    let none = from_json::<()>(br#"{"a":1}"#, &[]).unwrap_err();
    assert!(none.message.contains("takes none"), "{none:?}");
}

#[test]
fn bincode_is_a_tuple_and_nothing_more() {
    // Worked out by hand from bincode 2's specification: 1, Some, length 1, width 251 = 0xfb escape and two bytes.
    let bytes = [1, 1, 1, 0xfb, 251, 0];
    let expected: Sample = (1, Some(vec![Size { width: 251 }]));
    assert_eq!(from_bincode(&bytes, NAMES), Ok(expected));

    let longer = [&bytes[..], &[0]].concat();
    let fault = from_bincode::<Sample>(&longer, NAMES).unwrap_err();
    assert!(fault.message.contains("found 1 bytes after"), "{fault:?}");

    let fault = from_bincode::<Sample>(&bytes[..4], NAMES).unwrap_err();
    // Fields have positions here, and no names.
    assert_eq!(fault.path, "args.b[0][0]");

    // Length prefixes of 2^63 reserve no memory.
    let lie = [1, 1, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0x80];
    assert!(from_bincode::<Sample>(&lie, NAMES).is_err());
    let fault = from_bincode::<(String,)>(&lie[2..], &["text"]).unwrap_err();
    assert!(fault.message.contains("LimitExceeded"), "{fault:?}");
}
