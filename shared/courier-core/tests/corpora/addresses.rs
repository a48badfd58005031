//! Both sides of every edge of every special-purpose range, judged as Python's `ipaddress` does, but for what we refuse besides.

use std::net::IpAddr;
#[cfg(feature = "second-tier")]
use std::process::Command;

use courier_core::outbound::address::{Allowed, is_public};

use crate::cases;
use crate::check;

#[test]
fn every_edge_of_every_special_range_is_judged() {
    check(cases::ADDRESSES, 500, |case| {
        let ip: IpAddr = case.text().parse().unwrap();
        let public = is_public(ip);
        assert_eq!(Allowed::default().permits(ip), public);
        let word = if public { "public" } else { "refused" };
        word.to_owned()
    });
}

#[cfg(feature = "second-tier")]
#[test]
fn the_addresses_are_what_pythons_ipaddress_says() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpora");
    let output = Command::new("python3")
        .arg(format!("{folder}/addresses.py"))
        .output()
        .unwrap_or_else(|error| panic!("python3 is needed: {error}"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let written = String::from_utf8(output.stdout).unwrap();
    assert!(
        written == cases::ADDRESSES,
        "addresses.py writes another addresses.tsv"
    );
}
