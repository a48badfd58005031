//! Looks at a container SAS before Graph does, for what can be known without a call
//! (`docs/graph-behaviour.md`, Storage SAS).
//!
//! The URL is a secret: an error names rules and fields, and contains no part of it.

mod time;

use std::collections::BTreeSet;

use jiff::Timestamp;
use url::Url;

use crate::crypto::secret::Secret;

const MAX_BYTES: usize = 4096;

/// A container and the permission to write into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerSas {
    /// `https://account.blob.core.windows.net/container`, without query.
    pub container: String,
    /// The whole URL, as the request gives it.
    pub secret: Secret,
}

/// Checks a SAS URL for what Graph or Azure would refuse, and for an expiry that is not before `deadline`.
///
/// The error contains every broken rule, in the order of the service's own checks.
pub fn check(text: &str, deadline: Timestamp) -> Result<ContainerSas, Vec<String>> {
    let url = parse_url(text).map_err(|rule| vec![rule.to_owned()])?;
    let mut rules: Vec<String> = Vec::new();
    check_url(&url, &mut rules);
    let fields = Fields::of(&url);
    fields.check_kind(&mut rules);
    if container_name(&url).is_none() {
        rules.push("must name exactly one container in its path".to_owned());
    }
    fields.check_scope(&mut rules);
    fields.check_permissions(&mut rules);
    fields.check_times(deadline, &mut rules);
    if rules.is_empty() {
        Ok(ContainerSas {
            container: fingerprint_form(text),
            secret: Secret::new(text),
        })
    } else {
        Err(rules)
    }
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

fn parse_url(text: &str) -> Result<Url, &'static str> {
    if text.len() > MAX_BYTES {
        return Err("must not be longer than 4096 bytes");
    }
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
    if !text.bytes().all(is_plain) {
        return Err("must hold no space, control character, backslash or letter beyond ASCII");
    }
    // The URL parser accepts URLs without the slashes, but Graph, which receives the text itself, may not.
    let is_absolute = |url: &Url| {
        text.get(url.scheme().len()..)
            .and_then(|rest| rest.strip_prefix("://"))
            .is_some_and(|rest| !rest.starts_with(['/', '?', '#']))
    };
    Url::parse(text)
        .ok()
        .filter(|url| is_absolute(url) && url.has_host())
        .ok_or("must be an absolute URL")
}

fn check_url(url: &Url, rules: &mut Vec<String>) {
    if url.scheme() != "https" {
        rules.push("must be an https URL".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        rules.push("must not carry user information".to_owned());
    }
    if url.fragment().is_some() {
        rules.push("must not have a fragment".to_owned());
    }
}

fn container_name(url: &Url) -> Option<&str> {
    let path = url.path().strip_prefix('/')?;
    let name = path.strip_suffix('/').unwrap_or(path);
    (!name.is_empty() && !name.contains(['/', '%'])).then_some(name)
}

/// The fields of the query, decoded, with their names in lower case.
struct Fields(Vec<(String, String)>);

impl Fields {
    fn of(url: &Url) -> Self {
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

    /// Reports whether there is a stored access policy (`si`), which may state permissions and times instead.
    fn has_policy(&self) -> bool {
        self.get("si").is_some_and(|policy| !policy.is_empty())
    }

    fn check_kind(&self, rules: &mut Vec<String>) {
        if self.get("sig").is_none_or(str::is_empty) {
            rules.push("must carry a signature (sig)".to_owned());
        }
        if self.get("ss").is_some() {
            rules
                .push("must be a service SAS of the container, not an account SAS (ss)".to_owned());
        }
    }

    fn check_scope(&self, rules: &mut Vec<String>) {
        if self.get("sr") != Some("c") {
            rules.push("must be signed for a container (sr=c)".to_owned());
        }
        let names: BTreeSet<&str> = self.0.iter().map(|(name, _)| name.as_str()).collect();
        if names.len() != self.0.len() {
            rules.push("must not have a query field twice".to_owned());
        }
    }

    fn check_permissions(&self, rules: &mut Vec<String>) {
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
    }

    /// Checks that neither `se`, the expiry of the signature, nor `ske`, that of a user delegation key, is too early.
    fn check_times(&self, deadline: Timestamp, rules: &mut Vec<String>) {
        if self
            .get("st")
            .is_some_and(|start| time::parse(start).is_none())
        {
            rules.push("must have a start time (st) in ISO 8601, UTC".to_owned());
        }
        if self.get("se").is_none() && !self.has_policy() {
            rules.push("must state its expiry (se)".to_owned());
        }
        for (name, what) in [("se", "expiry"), ("ske", "delegation key expiry")] {
            match self.get(name).map(time::parse) {
                Some(None) => rules.push(format!("must have an {what} ({name}) in ISO 8601, UTC")),
                Some(Some(end)) if end < deadline => {
                    rules.push(format!("must not expire before the deadline ({name})"));
                }
                Some(Some(_)) | None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BASE: &str = "https://account.blob.core.windows.net/export-1";
    const GOOD: &str = "sv=2025-01-05&sr=c&sp=aw&st=2026-11-01T00:00:00Z&se=2027-01-20T00:00:00Z&spr=https&sig=Canary%2Bsig%3D";
    const DEADLINE: &str = "2026-12-20T12:00:00Z";

    /// Asserts that the error about a URL contains no part of it.
    fn assert_error_hides_the_url(text: &str) {
        let rules = check(text, DEADLINE.parse().unwrap());
        let error = rules.err().unwrap_or_default().join(" ");
        for part in ["anary", "account.", "export-1"] {
            assert!(!error.contains(part), "{error}");
        }
    }

    #[test]
    fn valid_sas_gives_its_container_and_debug_hides_the_url() {
        let text = format!("{BASE}/?{GOOD}");
        let sas = check(&text, DEADLINE.parse().unwrap()).unwrap();
        assert_eq!(sas.container, BASE);
        assert_eq!(sas.secret.expose(), text);
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
