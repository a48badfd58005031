//! Tests both sides of every edge of every special-purpose address range.
//!
//! The verdicts are those of Python's `ipaddress`, except for the addresses that we refuse in addition.

use std::net::IpAddr;

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
