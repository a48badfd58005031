//! The fields of the query of a SAS, by the rules of Microsoft's pages
//! [Create a service SAS](https://learn.microsoft.com/rest/api/storageservices/create-service-sas) and
//! [Create a user delegation SAS](https://learn.microsoft.com/rest/api/storageservices/create-user-delegation-sas).

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use url::Url;

use super::{Times, time};
use crate::catalogue::schema::is_guid;

/// The permissions of a container in the order that Azure demands.
const PERMISSIONS: &str = "racwdxltmeop";
/// Permissions that Microsoft's libraries write in different places.
const FREE_PERMISSIONS: &str = "yfi";
/// The one limit to addresses that is none.
const ALL_ADDRESSES: &str = "0.0.0.0-255.255.255.255";
const FIRST_VERSION: &str = "2012-02-12";
const FIRST_DELEGATION_VERSION: &str = "2018-11-09";
/// Azure gives a user delegation key for at most this long.
const KEY_LIFETIME: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How far the clocks of the caller, of Azure and of this machine may be apart.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);
const KEY_RULE: &str = "must carry every field of its user delegation key as Azure gave it: skoid and sktid (GUIDs), ske, \
     sks (b) and skv (a date)";

/// The fields of the query, decoded, with their names in lower case.
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    pub(super) fn of(url: &Url) -> Self {
        Self(
            url.query_pairs()
                .map(|(name, value)| (name.to_ascii_lowercase(), value.into_owned()))
                .collect(),
        )
    }

    fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(field, _)| field == name)?;
        Some(value)
    }

    /// Returns a field that is there and not empty.
    fn given(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// Reports whether there is a stored access policy (`si`), which may state permissions and times instead.
    fn has_policy(&self) -> bool {
        self.given("si").is_some()
    }

    /// Reports whether a user delegation key has signed the SAS, rather than the account's key.
    fn is_delegated(&self) -> bool {
        let names = ["skoid", "sktid", "skt", "ske", "sks", "skv"];
        names.iter().any(|name| self.get(name).is_some())
    }

    pub(super) fn check_kind(&self, rules: &mut Vec<String>) {
        match self.given("sig") {
            None => rules.push("must carry a signature (sig)".to_owned()),
            Some(text) => rules.extend(signature_rule(text).map(str::to_owned)),
        }
        if self.get("ss").is_some() {
            rules
                .push("must be a service SAS of the container, not an account SAS (ss)".to_owned());
        }
    }

    pub(super) fn check_scope(&self, rules: &mut Vec<String>) {
        if self.get("sr") != Some("c") {
            rules.push("must be signed for a container (sr=c)".to_owned());
        }
        let names: BTreeSet<&str> = self.0.iter().map(|(name, _)| name.as_str()).collect();
        if names.len() != self.0.len() {
            rules.push("must not have a query field twice".to_owned());
        }
        if names.iter().any(|name| name.starts_with("amp;")) {
            rules.push("must not be escaped for HTML (&amp; instead of &)".to_owned());
        }
        if names.contains("restype") || names.contains("comp") {
            let rule =
                "must not carry restype or comp, which belong to another call on the container";
            rules.push(rule.to_owned());
        }
        self.check_version(rules);
        if self
            .given("sip")
            .is_some_and(|range| range != ALL_ADDRESSES)
        {
            let rule = "must not be limited to addresses (sip), because Graph writes from addresses of Microsoft's";
            rules.push(rule.to_owned());
        }
        if self
            .given("spr")
            .is_some_and(|protocols| !["https", "https,http"].contains(&protocols))
        {
            rules.push("must allow https, or https,http, if it names protocols (spr)".to_owned());
        }
    }

    fn check_version(&self, rules: &mut Vec<String>) {
        let first = if self.is_delegated() {
            FIRST_DELEGATION_VERSION
        } else {
            FIRST_VERSION
        };
        match self.get("sv") {
            None => rules.push("must state its version (sv)".to_owned()),
            Some(version) if is_version(version, first) => {}
            Some(_) => rules.push(format!(
                "must have a version that is a date, {first} or later (sv)"
            )),
        }
        if self.is_delegated() {
            let is = |name: &str, kept: fn(&str) -> bool| self.get(name).is_some_and(kept);
            let is_whole = is("skoid", is_guid)
                && is("sktid", is_guid)
                && is("sks", |service| service == "b")
                && is("skv", |version| {
                    is_version(version, FIRST_DELEGATION_VERSION)
                })
                && self.get("ske").is_some();
            if !is_whole {
                rules.push(KEY_RULE.to_owned());
            }
            if self.has_policy() {
                let rule = "must not name a stored access policy (si), which a user delegation SAS cannot have";
                rules.push(rule.to_owned());
            }
        }
    }

    pub(super) fn check_permissions(&self, rules: &mut Vec<String>) {
        let Some(permissions) = self.get("sp") else {
            if !self.has_policy() {
                rules.push("must state its permissions (sp)".to_owned());
            }
            return;
        };
        for (letter, name) in [('l', "list"), ('r', "read")] {
            if permissions.contains(letter) {
                rules.push(format!("must not allow {name} (sp={letter})"));
            }
        }
        for (letter, name) in [('w', "write"), ('a', "add")] {
            if !permissions.contains(letter) {
                rules.push(format!("must allow {name} (sp={letter})"));
            }
        }
        rules.extend(order_rule(permissions).map(str::to_owned));
    }

    /// Checks the times for what does not depend on the moment.
    pub(super) fn check_times(&self, rules: &mut Vec<String>) {
        if self.get("se").is_none() && !self.has_policy() {
            rules.push("must state its expiry (se)".to_owned());
        }
        for (name, what) in [
            ("st", "a start"),
            ("se", "an expiry"),
            ("skt", "a start of its key"),
            ("ske", "an expiry of its key"),
        ] {
            let Some(text) = self.get(name).filter(|text| time::parse(text).is_none()) else {
                continue;
            };
            rules.push(if time::parse(&text.replace(' ', "+")).is_some() {
                format!("must have its + percent-encoded as %2B ({name})")
            } else {
                format!("must have {what} ({name}) in ISO 8601, such as 2027-01-20T00:00:00Z")
            });
        }
        for (start, end) in [("st", "se"), ("skt", "ske")] {
            if let (Some(from), Some(to)) = (self.time(start), self.time(end))
                && from >= to
            {
                rules.push(format!("must begin before it expires ({start}, {end})"));
            }
        }
    }

    /// Returns the rules that the times break now, but might not break at another time or with another deadline.
    pub(super) fn late(&self, times: Times) -> Vec<String> {
        let mut rules = Vec::new();
        for name in ["st", "skt"] {
            let start = self.time(name);
            if start.is_some_and(|start| start > later(times.now, CLOCK_TOLERANCE)) {
                rules.push(format!(
                    "must be valid now, because the export starts at once ({name})"
                ));
            }
        }
        let mut when = String::new();
        if times.deadline_is_default {
            let days = times.deadline.duration_since(times.now).as_hours() / 24;
            when = format!(", which is {days} days from now unless `deadline` is sent");
        }
        if self.time("se").is_some_and(|end| end < times.deadline) {
            rules.push(format!("must not expire before the deadline (se){when}"));
        }
        let Some(key_end) = self.time("ske") else {
            return rules;
        };
        if key_end > later(times.now, KEY_LIFETIME + CLOCK_TOLERANCE) {
            let rule = "must have a user delegation key that ends within 7 days (ske), because Azure gives none for longer";
            rules.push(rule.to_owned());
        } else if key_end < times.deadline {
            rules.push(format!(
                "must not expire before the deadline (ske){when}: a user delegation key lives for at most 7 days, so \
                 send an earlier `deadline`, or a SAS that is signed with the account's key"
            ));
        }
        rules
    }

    fn time(&self, name: &str) -> Option<Timestamp> {
        self.get(name).and_then(time::parse)
    }
}

fn later(now: Timestamp, wait: SignedDuration) -> Timestamp {
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// Returns the rule that a signature breaks. It is the base64 of an HMAC-SHA256, percent-encoded once.
fn signature_rule(decoded: &str) -> Option<&'static str> {
    let is_hash = |text: &str| STANDARD.decode(text).is_ok_and(|bytes| bytes.len() == 32);
    if is_hash(decoded) {
        None
    } else if is_hash(&decoded.replace(' ', "+")) {
        Some("must have each + of its signature percent-encoded as %2B (sig)")
    } else if decoded.contains('%') {
        Some("must have its signature percent-encoded once, not twice (sig)")
    } else {
        Some("must have a signature that is 32 bytes in base64 (sig)")
    }
}

/// Returns the rule that the letters of `sp` break as a list, whatever they allow.
fn order_rule(permissions: &str) -> Option<&'static str> {
    let is_known = |letter| PERMISSIONS.contains(letter) || FREE_PERMISSIONS.contains(letter);
    if !permissions.chars().all(is_known) {
        return Some("must hold only permissions that a container can give (sp)");
    }
    let different: BTreeSet<char> = permissions.chars().collect();
    if different.len() < permissions.len() {
        return Some("must name each permission once (sp)");
    }
    let places = permissions
        .chars()
        .filter_map(|letter| PERMISSIONS.find(letter));
    (!places.is_sorted()).then_some("must name its permissions in Azure's order, racwdxltmeop (sp)")
}

fn is_version(text: &str, first: &str) -> bool {
    time::date(text).is_some() && text >= first
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-21T12:00:00Z";
    const KEY: &str = "skoid=11111111-1111-1111-1111-111111111111&sktid=22222222-2222-2222-2222-222222222222&\
        skt=2026-11-21T11:45:00Z&ske=2026-11-28T12:00:00Z&sks=b&skv=2024-11-04";
    const SIGNED: &str = "sv=2024-11-04&sr=c&sp=acw&se=2026-11-28T12:00:00Z&sig=Canary%2B0123456789abcdefABCDEFGHIJKLMNOPQRSA%3D";

    fn fields(query: &str) -> Fields {
        let url = format!("https://account.blob.core.windows.net/dsar?{query}");
        Fields::of(&Url::parse(&url).unwrap())
    }

    /// Returns the rules that a query breaks at any time.
    fn broken(query: &str) -> String {
        let fields = fields(query);
        let mut rules = Vec::new();
        fields.check_kind(&mut rules);
        fields.check_scope(&mut rules);
        fields.check_permissions(&mut rules);
        fields.check_times(&mut rules);
        rules.join("; ")
    }

    fn late(query: &str, deadline: &str, deadline_is_default: bool) -> String {
        let times = Times {
            now: NOW.parse().unwrap(),
            deadline: deadline.parse().unwrap(),
            deadline_is_default,
        };
        fields(query).late(times).join("; ")
    }

    #[test]
    fn user_delegation_sas_must_carry_its_whole_key() {
        let good = format!("{SIGNED}&{KEY}");
        assert_eq!(broken(&good), "");
        // Microsoft's page calls the start of the key optional.
        assert_eq!(broken(&good.replace("skt=2026-11-21T11:45:00Z&", "")), "");
        for (from, to) in [
            ("skoid=11111111-1111-1111-1111-111111111111&", ""),
            ("skoid=11111111-1111-1111-1111-111111111111", "skoid=me"),
            ("sktid=22222222-2222-2222-2222-222222222222&", ""),
            (
                "sktid=22222222-2222-2222-2222-222222222222",
                "sktid=contoso.example",
            ),
            ("ske=2026-11-28T12:00:00Z&", ""),
            ("sks=b", "sks=f"),
            ("sks=b&", ""),
            ("skv=2024-11-04", "skv=2018-03-28"),
            ("&skv=2024-11-04", ""),
        ] {
            assert_eq!(broken(&good.replace(from, to)), KEY_RULE, "{from} -> {to}");
        }
        for (from, to, rule) in [
            (
                "sv=2024-11-04&sr",
                "sv=2018-03-28&sr",
                "2018-11-09 or later (sv)",
            ),
            ("sr=c", "sr=c&si=policy", "stored access policy (si)"),
            (
                "11-28T12:00:00Z&sks",
                "11-21T11:45:00Z&sks",
                "begin before it expires (skt, ske)",
            ),
            (
                "skt=2026-11-21T11:45:00Z",
                "skt=now",
                "a start of its key (skt) in ISO 8601",
            ),
            (
                "ske=2026-11-28T12:00:00Z",
                "ske=2026-11-28T12:00:00+01:00",
                "percent-encoded as %2B (ske)",
            ),
        ] {
            let found = broken(&good.replacen(from, to, 1));
            assert!(found.contains(rule) && !found.contains(';'), "{found}");
        }
    }

    /// Azure gives a key for 7 days from the moment at which it is asked for one, whatever start it is asked for.
    #[test]
    fn user_delegation_sas_is_for_a_deadline_within_the_days_of_its_key() {
        let good = format!("{SIGNED}&{KEY}");
        assert_eq!(late(&good, "2026-11-28T12:00:00Z", false), "");
        let found = late(
            &good.replace("11-28T12:00:00Z&sks", "11-28T11:59:59Z&sks"),
            "2026-11-28T12:00:00Z",
            false,
        );
        assert!(
            found.starts_with(
                "must not expire before the deadline (ske): a user delegation key lives"
            ),
            "{found}"
        );
        let found = late(&good, "2026-12-22T12:00:00Z", true);
        for name in ["se", "ske"] {
            let rule = format!(
                "the deadline ({name}), which is 31 days from now unless `deadline` is sent"
            );
            assert!(found.contains(&rule), "{found}");
        }
        let ends = |time: &str| {
            let query = good.replace("11-28T12:00:00Z", time);
            late(&query, "2026-11-28T12:00:00Z", false)
        };
        assert_eq!(ends("11-28T12:05:00Z"), "");
        assert!(
            ends("11-28T12:05:01Z")
                .starts_with("must have a user delegation key that ends within 7 days (ske)")
        );
        let later = good.replace("skt=2026-11-21T11:45:00Z", "skt=2026-11-21T12:06:00Z");
        let rule = "must be valid now, because the export starts at once (skt)";
        assert_eq!(late(&later, "2026-11-28T12:00:00Z", false), rule);
    }

    #[test]
    fn rules_about_time_are_those_that_another_moment_or_deadline_may_mend() {
        let query =
            "sv=2024-11-04&sr=c&sp=acw&st=2026-11-21T12:05:01Z&se=2026-12-01T00:00:00-05:00&sig=x";
        let begins = "must be valid now, because the export starts at once (st)";
        assert_eq!(late(query, "2026-12-01T05:00:00Z", false), begins);
        let ends = "must not expire before the deadline (se)";
        assert_eq!(
            late(query, "2026-12-01T05:00:01Z", false),
            format!("{begins}; {ends}")
        );
    }
}
