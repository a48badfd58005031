//! Python's `ipaddress` as the judge of which addresses are public.

use std::process::Command;

use crate::rules::root;

#[test]
fn addresses_tsv_is_what_addresses_py_writes() {
    let folder = root().join("shared/courier-core/tests/corpora");
    let output = Command::new("python3")
        .arg(folder.join("addresses.py"))
        .output()
        .unwrap_or_else(|error| panic!("python3 is needed: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let written = String::from_utf8(output.stdout).unwrap();
    let kept = std::fs::read_to_string(folder.join("addresses.tsv")).unwrap();
    assert!(written == kept, "addresses.py writes another addresses.tsv");
}
