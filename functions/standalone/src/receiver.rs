//! The receiver of the demo and of `dev`, on the caller's side: verifies each callback and reports it.

use std::future::Ready;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use courier_core::crypto::secret::Secret;
use courier_core::crypto::webhook_signature::{self, SigningSecret};
use courier_core::time::Clock;
use courier_local::{Limits, serve};
use http::{Request, Response, StatusCode};
use jiff::Timestamp;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

/// The path of a receiver that is down.
const DOWN: &str = "/down";

/// One callback as it was received, and whether its signature and timestamp were valid.
pub(crate) struct Callback {
    pub(crate) at: Timestamp,
    pub(crate) operation: String,
    pub(crate) kind: String,
    pub(crate) verified: bool,
}

/// Listens until `stopped`; the returned channel yields each received callback.
pub(crate) async fn start(
    secret: &str,
    clock: Clock,
    stopped: watch::Receiver<bool>,
) -> anyhow::Result<(SocketAddr, mpsc::UnboundedReceiver<Callback>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let signing_secret = SigningSecret::parse(&Secret::new(secret)).map_err(anyhow::Error::msg)?;
    let secrets = Arc::new([signing_secret]);
    let (sender, callbacks) = mpsc::unbounded_channel();
    let handle = move |request: Request<Bytes>| {
        let callback = verify(&request, secrets.as_slice(), clock());
        let status = match callback.verified {
            _ if request.uri().path() == DOWN => StatusCode::SERVICE_UNAVAILABLE,
            true => StatusCode::NO_CONTENT,
            false => StatusCode::UNAUTHORIZED,
        };
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return answer(status);
        }
        // The send fails once the demo is over, because the channel is closed.
        let _ = sender.send(callback);
        answer(status)
    };
    tokio::spawn(serve(listener, Limits::default(), handle, stopped));
    Ok((address, callbacks))
}

fn answer(status: StatusCode) -> Ready<Response<Bytes>> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    std::future::ready(response)
}

/// Checks the signature, and that the timestamp is within five minutes of `now`.
///
/// Source: Standard Webhooks 1.0, "Verifying webhook authenticity".
fn verify(request: &Request<Bytes>, secrets: &[SigningSecret], now: Timestamp) -> Callback {
    let header = |name: &str| {
        let value = request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    };
    let seconds: i64 = header("webhook-timestamp").parse().unwrap_or_default();
    let timestamp = Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
    let expected =
        webhook_signature::sign(secrets, header("webhook-id"), timestamp, request.body());
    let fresh = now.as_second().abs_diff(seconds) <= 300;
    let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
    Callback {
        at: now,
        operation: body["data"]["id"].as_str().unwrap_or_default().to_owned(),
        kind: body["type"].as_str().unwrap_or_default().to_owned(),
        verified: fresh
            && header("webhook-signature")
                .split(' ')
                .any(|one| one == expected),
    }
}
