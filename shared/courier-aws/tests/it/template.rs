//! The template: what the linters say, and what our code relies on.

#[test]
fn environments() {
    crate::binaries::path_with(&["sam", "checkov"]);
}
