//! Every misuse of the attribute is a compile error that points to the place and says what to do.

#[test]
fn misuse_is_explained() {
    trybuild::TestCases::new().compile_fail("tests/misuse/*.rs");
}
