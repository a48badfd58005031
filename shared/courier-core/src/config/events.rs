//! Reads `[events]`: where events about operations go, and which. Only operators decide it; no request can.

use url::Url;

use super::aws::{Aws, Sigv4};
use super::is_absolute_uri;
use super::reader::Reader;
use crate::crypto::webhook_signature::SigningSecret;
use crate::events::{EventType, Wanted, matching};
use crate::outbound::address::Allowed;
use crate::outbound::sigv4::Scope;

/// Where events go, and which.
pub struct Events {
    /// The `source` of every event: a URI of this deployment.
    pub source: String,
    pub wanted: Wanted,
    pub target: EventTarget,
}

/// The one place that takes events and hands them on.
pub enum EventTarget {
    /// A receiver of signed CloudEvents.
    Http {
        url: Url,
        signing_secrets: Vec<SigningSecret>,
    },
    Bus(EventBus),
}

/// An event bus of Amazon EventBridge.
pub struct EventBus {
    pub arn: String,
    /// Where `PutEvents` is called.
    pub endpoint: Url,
    pub sigv4: Sigv4,
}

impl EventTarget {
    /// Returns the name of the target in the log and for the circuit breaker, without path and query.
    pub fn origin(&self) -> String {
        match self {
            Self::Http { url, .. } => url.origin().ascii_serialization(),
            Self::Bus(bus) => bus.arn.clone(),
        }
    }
}

pub(super) fn events(table: &mut Reader<'_>, allowed: &Allowed, aws: &Aws) -> Option<Events> {
    let source = table.text("source");
    if source.as_deref().is_some_and(|uri| !is_absolute_uri(uri)) {
        table.error(
            "source",
            "must be an absolute URI such as https://courier.example",
        );
    }
    let patterns = table.texts("types", |text| matching(&text));
    let wanted = if table.has_items("types") && table.has("types") {
        Wanted::of(patterns)
    } else {
        Wanted::all()
    };
    if table.has("types") && !wanted.has(EventType::Ended) {
        let text = "has no operation.ended, the one event whose delivery is promised";
        table.warn("types", text);
    }
    let target = target(table, allowed, aws);
    Some(Events {
        source: source?,
        wanted,
        target: target?,
    })
}

fn target(table: &mut Reader<'_>, allowed: &Allowed, aws: &Aws) -> Option<EventTarget> {
    let arn = table.optional_text("bus");
    let endpoint = table.origin("endpoint");
    let signing_secrets = table.secrets("signing_secrets", SigningSecret::parse);
    let url = if table.has("url") {
        table.endpoint("url", allowed)
    } else {
        table.excuse(&["url"]);
        None
    };
    match (table.has("bus"), table.has("url")) {
        (true, true) => {
            table.error("url", "either bus or url, not both");
            None
        }
        (false, false) => {
            table.missing("bus", &["url"], "is missing: events need a bus or a url");
            None
        }
        (true, false) => {
            if table.has("signing_secrets") {
                let text = "has no effect: calls of a bus are signed with AWS keys";
                table.warn("signing_secrets", text);
            }
            bus(table, arn?, endpoint, aws).map(EventTarget::Bus)
        }
        (false, true) => {
            table.require_items(
                "signing_secrets",
                "events are signed: at least one secret is needed",
            );
            Some(EventTarget::Http {
                url: url?,
                signing_secrets,
            })
        }
    }
}

/// Reads the ARN of a bus, which says in which region it is called.
fn bus(table: &mut Reader<'_>, arn: String, endpoint: Option<Url>, aws: &Aws) -> Option<EventBus> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let found = match parts.as_slice() {
        ["arn", partition, "events", region, account, name] => {
            let is_account = account.len() == 12 && account.bytes().all(|one| one.is_ascii_digit());
            let is_region = !region.is_empty()
                && region
                    .bytes()
                    .all(|one| one.is_ascii_lowercase() || one.is_ascii_digit() || one == b'-');
            let is_bus = name
                .strip_prefix("event-bus/")
                .is_some_and(|name| !name.is_empty());
            let domain = match *partition {
                "aws" | "aws-us-gov" => Some("amazonaws.com"),
                "aws-cn" => Some("amazonaws.com.cn"),
                _ => None,
            };
            domain
                .filter(|_| is_account && is_region && is_bus)
                .map(|domain| {
                    (
                        (*region).to_owned(),
                        format!("https://events.{region}.{domain}"),
                    )
                })
        }
        _ => None,
    };
    let Some((region, host)) = found else {
        let rule = "must be the ARN of an event bus: arn:aws:events:REGION:ACCOUNT:event-bus/NAME";
        table.error("bus", rule);
        return None;
    };
    let endpoint = match endpoint {
        Some(endpoint) => endpoint,
        None => Url::parse(&host).ok()?,
    };
    if aws.keys.is_none() {
        table.error(
            "bus",
            "needs keys: access_key_id and secret_access_key in [aws]",
        );
    }
    Some(EventBus {
        arn,
        endpoint,
        sigv4: Sigv4 {
            keys: aws.keys.clone()?,
            scope: Scope {
                region,
                service: "events".to_owned(),
            },
        },
    })
}
