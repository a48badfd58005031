//! `courier listen`: a receiver of callbacks for whoever builds one. It verifies, says why a signature is wrong, shows
//! what came, and can fail on purpose.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use courier_core::time::Clock;
use courier_local::{Limits, serve};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use url::Url;

use crate::client::document::text;
use crate::failure::Usage;
use crate::secret::{DEVELOPMENT_SECRET, Given, SecretPlace};
use crate::serve::Stop;
use crate::terminal::{Screen, Tone, duration, json_line, shown, toned};
use crate::{output, settings};

mod forward;
mod verdict;

use forward::Forward;
use verdict::Verdict;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The address and port to listen at. With port 0 the system picks one, and the first line says which.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9099")]
    listen: SocketAddr,
    #[command(flatten)]
    secret: SecretPlace,
    /// A URL to which verified callbacks are passed on; its answer is the answer here.
    #[arg(long, value_name = "URL")]
    forward: Option<Url>,
    /// A status to answer instead, for the first few callbacks (503x3) or for all (503).
    #[arg(long, value_name = "STATUS", value_parser = Fail::parse)]
    fail: Option<Fail>,
    /// How long to wait before each answer, such as 20s. graph-courier waits 15 seconds for it.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    slow: Option<Duration>,
    /// Prints each callback as a line of JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// An answer that is a failure on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fail {
    status: StatusCode,
    /// How often; `u32::MAX` is always.
    times: u32,
}

impl Fail {
    fn parse(text: &str) -> Result<Self, String> {
        let rule = "must be a status such as 503, or one and how often, such as 503x3";
        let (status, times) = text.split_once('x').unwrap_or((text, "4294967295"));
        let status = status
            .parse()
            .ok()
            .and_then(|code: u16| StatusCode::from_u16(code).ok());
        let status = status.filter(|status| status.as_u16() >= 200).ok_or(rule)?;
        let times = times.parse().map_err(|_| rule)?;
        Ok(Self { status, times })
    }
}

/// A receiver and how it is to behave.
struct Receiver {
    given: Given,
    forward: Option<Forward>,
    fail: Option<Fail>,
    failed: AtomicU32,
    slow: Duration,
    clock: Clock,
    seen: mpsc::UnboundedSender<Callback>,
}

/// One request that came.
struct Callback {
    at: jiff::Timestamp,
    method: Method,
    path: String,
    event: Value,
    verdict: Verdict,
    answered: StatusCode,
    /// Why the answer is not simply the verdict.
    note: Option<String>,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let given = arguments.secret.read()?;
    let forward = arguments.forward.map(Forward::new).transpose()?;
    let mut stop = Stop::listen()?;
    let listener = TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("cannot listen at {}", arguments.listen))?;
    let address = listener.local_addr()?;
    greet(address, &given)?;
    let (seen, mut callbacks) = mpsc::unbounded_channel();
    let receiver = Arc::new(Receiver {
        given,
        forward,
        fail: arguments.fail,
        failed: AtomicU32::new(0),
        slow: arguments.slow.unwrap_or_default(),
        clock: settings::clock(),
        seen,
    });
    let (stopping, stopped) = watch::channel(false);
    let handle = move |request| {
        let receiver = Arc::clone(&receiver);
        async move { receiver.receive(request).await }
    };
    let served = tokio::spawn(serve(listener, Limits::default(), handle, stopped));
    let screen = Screen::of_output();
    loop {
        tokio::select! {
            Some(callback) = callbacks.recv() => callback.show(&screen, arguments.json)?,
            () = stop.asked() => break,
        }
    }
    stopping.send_replace(true);
    // Whoever wants to end it does not wait for slow answers.
    tokio::select! {
        _ = served => {}
        () = stop.asked() => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn greet(address: SocketAddr, given: &Given) -> anyhow::Result<()> {
    output::tell(&format!("listening at http://{address}, any path"));
    if given.is_for_development {
        output::tell(&format!(
            "verifying with the development secret {DEVELOPMENT_SECRET}, which proves nothing: it is the same everywhere"
        ));
    }
    if let Err(rule) = &given.parsed {
        output::tell(&format!(
            "warning: the secret {rule}, so nothing can be verified"
        ));
    }
    Ok(())
}

impl Receiver {
    async fn receive(&self, request: Request<Bytes>) -> Response<Bytes> {
        let now = (self.clock)();
        let (parts, body) = request.into_parts();
        if parts.method == Method::OPTIONS {
            return consent(&parts.headers);
        }
        let verdict = Verdict::of(&parts.headers, &body, &self.given, now);
        tokio::time::sleep(self.slow).await;
        let (response, note) = self.answer(&parts, &body, &verdict).await;
        let callback = Callback {
            at: now,
            method: parts.method,
            path: parts.uri.path().to_owned(),
            event: serde_json::from_slice(&body).unwrap_or_default(),
            verdict,
            answered: response.status(),
            note,
        };
        // The other end is gone when the program ends.
        let _ = self.seen.send(callback);
        response
    }

    async fn answer(
        &self,
        parts: &http::request::Parts,
        body: &Bytes,
        verdict: &Verdict,
    ) -> (Response<Bytes>, Option<String>) {
        if let Some(fail) = self.fail {
            let failed = self.failed.fetch_add(1, Ordering::Relaxed);
            if failed < fail.times {
                let note = match fail.times {
                    u32::MAX => "--fail".to_owned(),
                    times => format!("--fail, {} of {times}", failed + 1),
                };
                return (empty(fail.status), Some(note));
            }
        }
        if !verdict.is_verified() {
            return (empty(StatusCode::UNAUTHORIZED), None);
        }
        match &self.forward {
            Some(forward) => forward.pass_on(parts, body).await,
            None => (empty(StatusCode::NO_CONTENT), None),
        }
    }
}

/// Consents to callbacks, where a sender asks first (CloudEvents webhooks, "Abuse protection").
fn consent(headers: &http::HeaderMap) -> Response<Bytes> {
    let mut response = empty(StatusCode::OK);
    if let Some(origin) = headers.get("webhook-request-origin") {
        let answer = response.headers_mut();
        answer.insert("webhook-allowed-origin", origin.clone());
        answer.insert("webhook-allowed-rate", HeaderValue::from_static("*"));
    }
    let allow = HeaderValue::from_static("POST, PUT, PATCH, OPTIONS");
    response.headers_mut().insert(header::ALLOW, allow);
    response
}

fn empty(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

impl Callback {
    fn show(&self, screen: &Screen, json: bool) -> anyhow::Result<()> {
        if json {
            return output::print(&json_line(&json!({
                "at": courier_core::time::milliseconds(self.at),
                "method": self.method.as_str(),
                "path": self.path,
                "verified": self.verdict.is_verified(),
                "reasons": self.verdict.reasons,
                "answered": self.answered.as_u16(),
                "note": self.note,
                "event": self.event,
            })));
        }
        output::print(&screen.paint(&self.words()))
    }

    fn words(&self) -> String {
        let (event, data) = (&self.event, &self.event["data"]);
        let time = self.at.strftime("%H:%M:%S").to_string();
        let parts = [
            toned(Tone::Dim, &time),
            format!("{} {}", self.method, shown(&self.path)),
            toned(Tone::Strong, &text(&event["type"])),
            text(&data["operation"]),
            text(&data["reference"]),
        ];
        let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let mut lines = vec![parts.join("  ")];
        let verdict = match self.verdict.is_verified() {
            true => toned(Tone::Good, "signature verified"),
            false => toned(Tone::Bad, "NOT VERIFIED"),
        };
        let id = text(&data["id"]);
        let note = self.note.as_ref().map(|note| format!(" ({})", shown(note)));
        let answered = self.answered.as_u16();
        lines.push(
            format!(
                "{verdict}, answered {answered}{}  {id}",
                note.unwrap_or_default()
            )
            .trim_end()
            .to_owned(),
        );
        lines.extend(self.verdict.reasons.iter().cloned());
        for (name, value) in [
            ("reason", &data["reason"]),
            ("result", &data["result"]),
            ("error", &data["error"]),
        ] {
            if !value.is_null() {
                lines.push(format!("{} {}", toned(Tone::Dim, name), text(value)));
            }
        }
        lines.join("\n          ") + "\n"
    }
}

/// Refuses a URL that cannot be called.
fn check_url(url: &Url) -> anyhow::Result<()> {
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        Ok(())
    } else {
        Err(Usage::error("--forward must be an http or https URL"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_on_purpose_has_a_status_and_may_be_limited() {
        let fail = |text| Fail::parse(text).map(|fail| (fail.status.as_u16(), fail.times));
        assert_eq!(fail("503x3"), Ok((503, 3)));
        assert_eq!(fail("410"), Ok((410, u32::MAX)));
        for text in ["", "x3", "503x", "99", "100", "1000", "503x-1", "fail"] {
            assert!(fail(text).is_err(), "{text}");
        }
    }
}
