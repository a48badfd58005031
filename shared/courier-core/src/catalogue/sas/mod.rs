//! Looks at a container SAS before Graph does, for what can be known without a call
//! (`docs/graph-behaviour.md`, Storage SAS).
//!
//! The URL is a secret: an error names rules and fields, and contains no part of it.

mod fields;
mod place;
mod time;

use jiff::Timestamp;
use url::Url;

use crate::crypto::secret::Secret;
use fields::Fields;

/// A container and the permission to write into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerSas {
    /// `https://account.blob.core.windows.net/container`, without query.
    pub container: String,
    /// The whole URL, as the request gives it.
    pub secret: Secret,
    /// The broken rules about time, which do not matter for a repeat of an earlier request.
    pub late: Vec<String>,
}

/// The times by which a SAS is judged.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    pub now: Timestamp,
    /// When the operation ends at the latest: until then the container must be writable.
    pub deadline: Timestamp,
    /// `true`: the request names no deadline, so this is the operation's own.
    pub deadline_is_default: bool,
}

/// Checks a SAS URL for what Graph or Azure would refuse, and for an expiry that is not before the deadline.
///
/// The error contains every broken rule, in the order of the service's own checks, and those about time last.
pub fn check(text: &str, times: Times) -> Result<ContainerSas, Vec<String>> {
    let url = place::parse(text).map_err(|rule| vec![rule.to_owned()])?;
    let mut rules: Vec<String> = Vec::new();
    place::check_url(&url, &mut rules);
    let fields = Fields::of(&url);
    fields.check_kind(&mut rules);
    rules.extend(place::check_container(&url).err().map(str::to_owned));
    fields.check_scope(&mut rules);
    fields.check_permissions(&mut rules);
    fields.check_times(&mut rules);
    let late = fields.late(times);
    if rules.is_empty() {
        Ok(ContainerSas {
            container: fingerprint_form(text),
            secret: Secret::new(text),
            late,
        })
    } else {
        rules.extend(late);
        Err(rules)
    }
}

/// Checks a container's name by Azure's rules.
pub fn check_container_name(name: &str) -> Result<(), &'static str> {
    place::check_name(name)
}

/// Returns the container's URL without its signature, for the fingerprint of a request.
///
/// A legitimate repeat of a request may carry a new signature for the same container.
pub fn fingerprint_form(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else {
        let end = text.find(['?', '#']).unwrap_or(text.len());
        return text[..end].trim_end_matches('/').to_owned();
    };
    url.set_query(None);
    url.set_fragment(None);
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.as_str().trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BASE: &str = "https://account.blob.core.windows.net/export-1";
    const GOOD: &str = "sv=2025-01-05&sr=c&sp=aw&st=2026-11-01T00:00:00Z&se=2027-01-20T00:00:00Z&spr=https&sig=CanarySignature%2B%2F0123456789abcdefABCDEFGHIA%3D";

    fn checked(text: &str) -> Result<ContainerSas, Vec<String>> {
        let times = Times {
            now: "2026-11-21T12:00:00Z".parse().unwrap(),
            deadline: "2026-12-20T12:00:00Z".parse().unwrap(),
            deadline_is_default: false,
        };
        check(text, times)
    }

    /// Asserts that the error about a URL contains no part of it.
    fn assert_error_hides_the_url(text: &str) {
        let rules = checked(text);
        let error = rules.err().unwrap_or_default().join(" ");
        for part in ["anary", "account.", "export-1"] {
            assert!(!error.contains(part), "{error}");
        }
    }

    #[test]
    fn valid_sas_gives_its_container_and_debug_hides_the_url() {
        let text = format!("{BASE}/?{GOOD}");
        let sas = checked(&text).unwrap();
        assert_eq!(sas.container, BASE);
        assert_eq!(sas.secret.expose(), text);
        assert!(sas.late.is_empty());
        assert!(!format!("{sas:?}").contains("anary"));
    }

    #[test]
    fn fingerprint_form_of_an_invalid_url_has_no_query() {
        assert_eq!(fingerprint_form("no url/?sig=Canary"), "no url");
        assert_eq!(fingerprint_form("https://[x/c#sig=Canary"), "https://[x/c");
        assert_eq!(
            fingerprint_form("https://u:Canary@A.example:443/C/?sig=Canary#Canary"),
            "https://a.example/C"
        );
        assert_ne!(
            fingerprint_form("https://a.example/c"),
            fingerprint_form("https://a.example/d")
        );
    }

    proptest! {
        #[test]
        fn fingerprint_form_is_the_same_for_every_signature(one in "[A-Za-z0-9%+/=&?#.:-]{0,40}", other in "[A-Za-z0-9%+/=&?.:-]{0,40}") {
            let form = |query: &str| fingerprint_form(&format!("{BASE}?{query}"));
            prop_assert_eq!(form(&one), form(&other));
            prop_assert_eq!(form(&one), BASE);
        }

        #[test]
        fn errors_contain_no_part_of_the_url(text in "[ -~]{0,20}", field in "(sv|ss|sr|sp|st|se|ske|si)") {
            for text in [format!("{BASE}?{field}=Canary{text}&sig=Canary"), format!("{text}Canary"), format!("https://{text}/Canary?{GOOD}")] {
                assert_error_hides_the_url(&text);
            }
        }
    }
}
