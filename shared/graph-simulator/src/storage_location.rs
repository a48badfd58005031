//! The export service's checks of a storage location, in the service's order.
//!
//! The real service probes the container; here the permissions are read from the SAS itself, and its signature is checked
//! where the container is one of the simulated account.

use std::collections::HashSet;

use jiff::Timestamp;
use url::{Host, Url};

use crate::answer::Failure;
use crate::blobs::{Blobs, STORAGE_ACCOUNT};

/// The containers that already have a `RequestInfo.json`: each serves one export.
#[derive(Default)]
pub(crate) struct Containers {
    used: HashSet<String>,
}

impl Containers {
    /// Accepts a location and marks its container as used.
    ///
    /// A location that is refused for read access is used up as well: the service writes its blob before it finds that
    /// it can read it.
    pub(crate) fn claim(
        &mut self,
        location: Option<&str>,
        premium_accounts: &[String],
        blobs: &Blobs,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let url = location.and_then(|text| Url::parse(text).ok());
        let Some(url) = url.filter(Url::has_host) else {
            return refuse("StorageLocationInvalid", "Storage Location is not valid.");
        };
        let container = format!("{}://{}{}", url.scheme(), url.authority(), url.path());
        let premium = premium_accounts
            .iter()
            .any(|host| url.host_str() == Some(host));
        let sas = Sas::of(&url);
        let complaints = [
            (
                !sas.signed,
                "SharedAccessSignatureTokenInvalid",
                "Storage destination does not include SAS credentials.",
            ),
            (
                sas.of_account,
                "StorageLocationNotServiceSAS",
                "Storage destination needs to have a Service SAS, not an Account SAS.",
            ),
            (
                !names_a_container(&url),
                "StorageLocationNotAzureBlob",
                "Storage destination must be an azure blob container.",
            ),
            (
                sas.allows('l'),
                "StorageLocationShouldNotAllowListAccess",
                "Storage destination should not allow list access.",
            ),
            (
                self.used.contains(&container),
                "StorageLocationAlreadyUsed",
                "Storage destination has already been used for an export. If this is not true, delete 'RequestInfo.json' from the container and try again.",
            ),
            (
                !sas.can_write(now) || !blobs.permit(&url),
                "StorageLocationNeedsWriteAddPermissions",
                "Storage destination does not have write/add permissions.",
            ),
            (
                premium,
                "StorageLocationShouldSupportAppendBlobs",
                "Storage destination should support append blobs.",
            ),
        ];
        if let Some((_, code, message)) = complaints.into_iter().find(|(wrong, ..)| *wrong) {
            return refuse(code, message);
        }
        self.used.insert(container);
        if sas.allows('r') {
            return refuse(
                "StorageLocationShouldNotAllowReadAccess",
                "Storage destination should not allow read access.",
            );
        }
        Ok(())
    }
}

/// The permissions that the query of a location grants.
struct Sas {
    signed: bool,
    of_account: bool,
    permissions: Option<String>,
    ends: Option<Timestamp>,
}

impl Sas {
    fn of(url: &Url) -> Self {
        let parameter = |name: &str| {
            let mut pairs = url.query_pairs();
            pairs.find_map(|(key, value)| (key == name).then(|| value.into_owned()))
        };
        Self {
            signed: parameter("sig").is_some(),
            of_account: parameter("ss").is_some(),
            permissions: parameter("sp"),
            ends: parameter("se").and_then(|text| text.parse().ok()),
        }
    }

    fn allows(&self, letter: char) -> bool {
        let permissions = self.permissions.as_deref();
        permissions.is_some_and(|text| text.contains(letter))
    }

    /// Reports whether the SAS permits writing. One without `sp`, which leaves its permissions to a stored policy, is
    /// trusted.
    fn can_write(&self, now: Timestamp) -> bool {
        let permitted = self.permissions.is_none() || (self.allows('w') && self.allows('a'));
        permitted && self.ends.is_none_or(|end| now < end)
    }
}

fn names_a_container(url: &Url) -> bool {
    let mut segments = url.path_segments().into_iter().flatten().peekable();
    // Where the host is no name, as with emulators, the account stands in the path.
    let is_named = matches!(url.host(), Some(Host::Domain(_)));
    segments.next_if(|account| !is_named || *account == STORAGE_ACCOUNT);
    segments.next().is_some_and(|name| !name.is_empty()) && segments.next().is_none()
}

fn refuse(code: &str, message: &str) -> Result<(), Failure> {
    Err(Failure::bad_request(code, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(containers: &mut Containers, location: &str) -> String {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let premium = ["premium.blob.core.windows.net".to_owned()];
        match containers.claim(Some(location), &premium, &Blobs::default(), now) {
            Ok(()) => "accepted".to_owned(),
            Err(failure) => failure.code,
        }
    }

    #[test]
    fn each_location_gets_the_first_complaint_that_fits() {
        for (location, expected) in [
            ("not a url", "StorageLocationInvalid"),
            ("/container?sig=x", "StorageLocationInvalid"),
            ("https://a.example/c", "SharedAccessSignatureTokenInvalid"),
            (
                "https://a.example/c?ss=b&sig=x",
                "StorageLocationNotServiceSAS",
            ),
            (
                "https://a.example/?sp=wa&sig=x",
                "StorageLocationNotAzureBlob",
            ),
            (
                "https://a.example/c/blob?sp=wa&sig=x",
                "StorageLocationNotAzureBlob",
            ),
            (
                "https://a.example/c?sp=rwal&sig=x",
                "StorageLocationShouldNotAllowListAccess",
            ),
            (
                "https://a.example/c?sp=w&sig=x",
                "StorageLocationNeedsWriteAddPermissions",
            ),
            (
                "https://a.example/c?sp=wa&se=2025-12-31T00:00:00Z&sig=x",
                "StorageLocationNeedsWriteAddPermissions",
            ),
            (
                "https://premium.blob.core.windows.net/c?sp=wa&sig=x",
                "StorageLocationShouldSupportAppendBlobs",
            ),
            (
                "https://a.example/c?sp=rwa&sig=x",
                "StorageLocationShouldNotAllowReadAccess",
            ),
            (
                "https://a.example/c?sp=wac&se=2027-01-01T00:00:00Z&sig=x",
                "accepted",
            ),
            ("https://a.example/c?si=policy&sig=x", "accepted"),
            ("http://127.0.0.1:10000/account/c?sp=wa&sig=x", "accepted"),
            (
                "http://127.0.0.1:10000/account?sp=wa&sig=x",
                "StorageLocationNotAzureBlob",
            ),
            (
                "http://127.0.0.1/devstoreaccount1/none?sp=wa&sig=x",
                "StorageLocationNeedsWriteAddPermissions",
            ),
        ] {
            assert_eq!(
                verdict(&mut Containers::default(), location),
                expected,
                "{location}"
            );
        }
    }

    #[test]
    fn container_is_used_up_by_an_export_and_by_a_readable_sas() {
        let mut containers = Containers::default();
        assert_eq!(
            verdict(&mut containers, "https://a.example/c?sp=wa&sig=x"),
            "accepted"
        );
        assert_eq!(
            verdict(&mut containers, "https://a.example/c?sp=wa&sig=other"),
            "StorageLocationAlreadyUsed"
        );
        assert_eq!(
            verdict(&mut containers, "https://a.example/d?sp=rwa&sig=x"),
            "StorageLocationShouldNotAllowReadAccess"
        );
        assert_eq!(
            verdict(&mut containers, "https://a.example/d?sp=wa&sig=x"),
            "StorageLocationAlreadyUsed"
        );
    }
}
