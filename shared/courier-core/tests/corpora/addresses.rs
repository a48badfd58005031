//! Tests both sides of every edge of every special-purpose address range.
//!
//! The verdicts are those of Python's `ipaddress`, except for the addresses that we refuse in addition.

use std::net::IpAddr;
#[cfg(feature = "second-tier")]
use std::process::Command;

use courier_core::outbound::address::{Allowed, is_public};

use crate::cases;
use crate::check;

#[test]
fn each_edge_of_every_special_purpose_range_has_its_verdict() {
    check(cases::ADDRESSES, 500, |case| {
        let ip: IpAddr = case.text().parse().unwrap();
        let public = is_public(ip);
        assert_eq!(Allowed::default().permits(ip), public);
        let verdict = if public { "public" } else { "refused" };
        verdict.to_owned()
    });
}

#[cfg(feature = "second-tier")]
#[test]
fn addresses_tsv_is_what_addresses_py_writes() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpora");
    let output = Command::new("python3")
        .arg(format!("{folder}/addresses.py"))
        .output()
        .unwrap_or_else(|error| panic!("python3 is needed: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let written = String::from_utf8(output.stdout).unwrap();
    assert!(
        written == cases::ADDRESSES,
        "addresses.py writes another addresses.tsv"
    );
}
