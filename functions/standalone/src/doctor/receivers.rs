//! Checks the receivers of callbacks as a delivery would meet them: name, guard, connection, and a signed example.

use std::net::IpAddr;
use std::time::Instant;

use courier_core::config::Client;
use courier_core::outbound::{Call, Read, Route, Transport, Unanswered};
use courier_core::profile::Signature;
use http::{HeaderMap, Method};
use url::{Host, Url};

use super::{Doctor, Finding};
use crate::sample::{Sample, TIMEOUT};

impl Doctor {
    /// Checks each origin at which a client may have callbacks.
    pub(super) async fn receivers(&mut self) -> anyhow::Result<()> {
        let clients = self.config.clients.values();
        let origins: Vec<(String, String)> = clients
            .flat_map(|client| {
                let name = client.name.clone();
                let origins = client.callback_origins.iter();
                origins.map(move |origin| (name.clone(), origin.clone()))
            })
            .collect();
        for (client, origin) in origins {
            let check = format!("receiver {origin} of {client}");
            let finding = self.receiver(&origin).await;
            self.tell(&check, &finding)?;
        }
        Ok(())
    }

    async fn receiver(&self, origin: &str) -> Finding {
        let Ok(url) = Url::parse(origin) else {
            return Finding::failed("it is no URL", "look at callback_origins");
        };
        let (way, look) = self.way(&url);
        let is_carried = !way.is_empty();
        let place = match is_carried {
            // The proxy resolves the names, and no address is seen here.
            true => way.trim_start().to_owned(),
            false => match self.judged(&url).await {
                Ok(place) => place,
                Err(finding) => return finding,
            },
        };
        let began = Instant::now();
        let sent = self.transport.send(Call {
            route: Route::Guarded,
            method: Method::HEAD,
            url,
            headers: HeaderMap::new(),
            body: Vec::new(),
            read: Read::First(0),
            timeout: TIMEOUT,
        });
        match sent.await {
            Ok(answered) => Finding::ok(format!(
                "reached {place} in {} ms, and answers ({})",
                began.elapsed().as_millis(),
                answered.status.as_u16()
            )),
            Err(Unanswered::TimedOut | Unanswered::CutOff) => Finding::warning(
                format!("reached {place}, but a HEAD request is not answered"),
                "try --ping with the URL of the callbacks",
            ),
            Err(error @ (Unanswered::NotSent(_) | Unanswered::Forbidden)) => Finding::failed(
                format!("{error} ({place})"),
                match is_carried {
                    true => format!("deliveries would fail in the same way: {look}"),
                    false => "deliveries would fail in the same way: look at the receiver, its certificate and the firewalls".to_owned(),
                },
            ),
        }
    }

    /// Resolves the name and lets the outbound guard judge its addresses; returns where it is.
    async fn judged(&self, url: &Url) -> Result<String, Finding> {
        let addresses = addresses(url).await.map_err(|error| {
            let next = "look at its name, and at the DNS of this machine";
            Finding::failed(format!("the name cannot be resolved: {error}"), next)
        })?;
        let mut refused = addresses
            .iter()
            .filter(|ip| !self.config.allowed.permits(**ip));
        if let Some(ip) = refused.next() {
            let next = "if it is yours, list its network in callbacks.allow_networks";
            let what = format!("its address {ip} is private or special, and is not called");
            return Err(Finding::failed(what, next));
        }
        let first = addresses.first();
        Ok(first.map_or_else(String::new, |ip| format!("at {ip}")))
    }

    /// Sends a signed example to a URL with the secrets of the client that may have callbacks there.
    pub(super) async fn ping(&mut self, url: &Url) -> anyhow::Result<()> {
        let origin = url.origin().ascii_serialization();
        let finding = match self.sent(url, &origin).await {
            Ok(finding) => finding,
            Err(error) => {
                Finding::failed(format!("{error:#}"), "look at the profile of the client")
            }
        };
        self.tell(&format!("ping of {origin}"), &finding)
    }

    async fn sent(&self, url: &Url, origin: &str) -> anyhow::Result<Finding> {
        let mut clients = self.config.clients.values();
        let client = clients.find(|client| client.callback_origins.iter().any(|one| one == origin));
        let Some(client) = client else {
            let next = "give a URL below one of the callback_origins";
            return Ok(Finding::failed("no client may have callbacks there", next));
        };
        let Some(profile) = signed(client) else {
            let next =
                "POST /v1/callbacks/test of a running server sends an example in every profile";
            let what =
                "the client's profile does not sign as Standard Webhooks does, so nothing is sent";
            return Ok(Finding::warning(what, next));
        };
        let now = (self.clock)();
        let digits = format!("{:032x}", now.as_nanosecond().unsigned_abs());
        let sample = Sample::new("succeeded", "graph-courier-doctor", &digits, now);
        let body = sample.body(profile);
        let headers = sample.headers(profile, &client.signing_secrets, &body, now)?;
        let sent = self.transport.send(Call {
            route: Route::Guarded,
            method: profile.method.clone(),
            url: url.clone(),
            headers,
            body,
            read: Read::First(0),
            timeout: TIMEOUT,
        });
        Ok(match sent.await {
            Ok(answered) if profile.takes(answered.status.as_u16()) => Finding::ok(format!(
                "the example of {} was taken ({})",
                client.name,
                answered.status.as_u16()
            )),
            Ok(answered) => Finding::failed(
                format!(
                    "the example of {} was answered {}",
                    client.name,
                    answered.status.as_u16()
                ),
                "look at the receiver's log: does it verify with the client's secret? `courier listen` says why a signature is wrong",
            ),
            Err(error) => {
                Finding::failed(error.to_string(), "deliveries would fail in the same way")
            }
        })
    }
}

/// Returns the client's own profile, if it signs callbacks and nothing else is needed to send one.
fn signed(client: &Client) -> Option<&courier_core::profile::Profile> {
    let profile = client.profiles.all.get(&client.profiles.default)?;
    let format = &profile.format;
    let is_signed = format.signature != Signature::None && !client.signing_secrets.is_empty();
    (is_signed && format.token_at.is_none()).then_some(format)
}

async fn addresses(url: &Url) -> std::io::Result<Vec<IpAddr>> {
    match url.host() {
        Some(Host::Ipv4(ip)) => Ok(vec![ip.into()]),
        Some(Host::Ipv6(ip)) => Ok(vec![ip.into()]),
        Some(Host::Domain(name)) => {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        }
        None => Err(std::io::ErrorKind::InvalidInput.into()),
    }
}
