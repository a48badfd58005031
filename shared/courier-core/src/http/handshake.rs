//! The answer to `OPTIONS`, and with it to a sender of CloudEvents who asks whether it may deliver them here
//! (CloudEvents webhooks 1.0, section 4).

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};

use super::insert;
use crate::engine::app::App;

/// The header in which a sender names itself, a DNS name.
const REQUEST_ORIGIN: &str = "webhook-request-origin";

/// Returns the answer, with the permission for a sender whom a client lists in `event_origins` if the resource takes
/// events.
///
/// The handshake proves nothing about anybody: each event comes with the client's credentials.
pub(super) fn answer(app: &App, headers: &HeaderMap, takes_events: bool) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let mut origins = headers.get_all(REQUEST_ORIGIN).iter();
    let (Some(origin), None) = (origins.next(), origins.next()) else {
        return response;
    };
    let Ok(origin) = origin.to_str() else {
        return response;
    };
    let name = origin.to_ascii_lowercase();
    let clients = app.config.clients.values();
    let permitting = clients.filter(|client| client.event_rules.origins.contains(&name));
    // It is not known yet whose events they will be: the lowest limit holds for all.
    let rate = permitting.map(|client| client.requests_per_minute).min();
    if let Some(rate) = rate.filter(|_| takes_events) {
        // Azure Event Grid wants 200.
        *response.status_mut() = StatusCode::OK;
        insert(response.headers_mut(), "webhook-allowed-origin", origin);
        let rate = rate.to_string();
        insert(response.headers_mut(), "webhook-allowed-rate", &rate);
    }
    response
}
