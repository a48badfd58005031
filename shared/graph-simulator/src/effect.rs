//! The effect of a fault on an answer and on how it is sent.

use std::time::Duration;

use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::answer::{Answer, Call, Content, Failure, OPERATION_LOCATION};
use crate::behaviour::InnerError;
use crate::delivery::Delivery;
use crate::entra::Refusal;
use crate::fault::{Action, StatusAction};

pub(crate) fn apply(
    action: &Action,
    name: &str,
    path: &str,
    call: &Call<'_>,
    spelling: InnerError,
    answer: &mut Answer,
) -> Delivery {
    match action {
        Action::Status(status) => replace(status, name, call, spelling, answer),
        Action::LostBefore | Action::LostAfter => return Delivery::Close,
        Action::ResetBefore | Action::ResetAfter => return Delivery::Reset,
        Action::Hang { .. } => return Delivery::Never,
        Action::Delay { ms } => return Delivery::Late(Duration::from_millis(*ms)),
        Action::Drip { ms_per_byte } => {
            fill(answer);
            return Delivery::Drip(Duration::from_millis(*ms_per_byte));
        }
        Action::HalfBody => {
            fill(answer);
            return Delivery::Half;
        }
        Action::Location { value, twice } => {
            relocate(answer, value.as_deref(), *twice, call, path);
        }
        Action::Word { value } => say(answer, name, value),
        Action::Redirect { status, location } => {
            *answer = Answer::new(known(*status), Content::Empty);
            relocate(answer, Some(location), false, call, path);
            answer.headers.remove(OPERATION_LOCATION);
        }
        Action::RetryAfter { value } => answer.set_retry_after(value.as_deref()),
        Action::BigBody { bytes } => swell(answer, *bytes),
    }
    Delivery::Prompt
}

fn replace(
    action: &StatusAction,
    name: &str,
    call: &Call<'_>,
    spelling: InnerError,
    answer: &mut Answer,
) {
    let status = known(action.status);
    let bodiless = action.empty || matches!(status.as_u16(), 204 | 304);
    let own_body = action.html || action.body.is_some() || bodiless;
    if action.processed && status.is_success() && !own_body {
        answer.status = status;
    } else {
        let replacement = if bodiless {
            Answer::new(status, Content::Empty)
        } else if let Some(body) = &action.body {
            text(status, "application/json", body.clone())
        } else if action.html {
            let reason = status.canonical_reason().unwrap_or("Error");
            let page = format!(
                "<!DOCTYPE html><html><head><title>{status}</title></head><body><h1>{reason}</h1></body></html>"
            );
            text(status, "text/html; charset=utf-8", page)
        } else if status.is_success() {
            Answer::new(status, Content::Empty)
        } else if name == "token" {
            entra_error(action, status).into_answer(call)
        } else {
            graph_error(action, status, call, spelling)
        };
        let job = answer.job.take();
        *answer = Answer { job, ..replacement };
    }
    if action.retry_after.is_some() {
        answer.set_retry_after(action.retry_after.as_deref());
    }
}

fn graph_error(
    action: &StatusAction,
    status: StatusCode,
    call: &Call<'_>,
    spelling: InnerError,
) -> Answer {
    let (code, message) = match status.as_u16() {
        400 => ("BadRequest", "The request is malformed or incorrect."),
        401 => (
            "InvalidAuthenticationToken",
            "Access token validation failure.",
        ),
        403 => (
            "Forbidden",
            "Insufficient privileges to complete the operation.",
        ),
        404 => ("ResourceNotFound", "The resource could not be found."),
        409 => ("Conflict", "The current state conflicts with the request."),
        410 => ("Gone", "The requested resource is no longer available."),
        423 => ("Locked", "The resource is locked."),
        429 => ("TooManyRequests", "Please retry again later."),
        502 => ("BadGateway", "The gateway got no valid response."),
        503 => (
            "ServiceUnavailable",
            "The service is temporarily unavailable.",
        ),
        504 => ("GatewayTimeout", "The gateway timed out."),
        _ => ("UnknownError", "An unexpected error occurred."),
    };
    let code = action.code.as_deref().unwrap_or(code);
    let message = action.message.as_deref().unwrap_or(message);
    let failure = Failure::new(status, code, message);
    let inner = action.inner_code.as_deref();
    // The documented sample of a 429 repeats the number as the inner code.
    match inner.or_else(|| (status == StatusCode::TOO_MANY_REQUESTS).then_some("429")) {
        Some(inner) => failure.inner(inner),
        None => failure,
    }
    .into_answer(call, spelling)
}

fn entra_error(action: &StatusAction, status: StatusCode) -> Refusal {
    let (error, number, text) = match status.as_u16() {
        400 => (
            "invalid_grant",
            70008,
            "The refresh token has expired or has been revoked.",
        ),
        401 => (
            "invalid_client",
            7_000_215,
            "Invalid client secret provided.",
        ),
        429 => (
            "temporarily_unavailable",
            90055,
            "The server is terminating an excessive request.",
        ),
        _ => (
            "temporarily_unavailable",
            90033,
            "A transient error has occurred. Please try again.",
        ),
    };
    Refusal {
        status,
        error: action.code.as_deref().unwrap_or(error).to_owned(),
        number: action
            .inner_code
            .as_deref()
            .and_then(|code| code.parse().ok())
            .unwrap_or(number),
        text: action.message.as_deref().unwrap_or(text).to_owned(),
    }
}

fn relocate(answer: &mut Answer, value: Option<&str>, twice: bool, call: &Call<'_>, path: &str) {
    let right = answer.headers.remove(LOCATION);
    answer.headers.remove(OPERATION_LOCATION);
    let own = format!("{}{path}", call.origin);
    let url = right
        .as_ref()
        .and_then(|value| value.to_str().ok())
        .unwrap_or(&own);
    let url = url
        .strip_prefix('"')
        .and_then(|url| url.strip_suffix('"'))
        .unwrap_or(url);
    let replaced = value.map(|value| {
        let path = url.strip_prefix(call.origin).unwrap_or(url);
        let text = value
            .replace("{location}", url)
            .replace("{origin}", call.origin);
        text.replace("{path}", path)
    });
    let replaced = replaced.and_then(|text| HeaderValue::from_str(&text).ok());
    if twice && let Some(right) = right {
        answer.headers.append(LOCATION, right.clone());
        answer.headers.append(LOCATION, replaced.unwrap_or(right));
    } else if let Some(value) = replaced {
        answer.headers.insert(LOCATION, value.clone());
        answer.headers.insert(OPERATION_LOCATION, value);
    }
}

fn say(answer: &mut Answer, name: &str, word: &str) {
    let Content::Json(body) = &mut answer.content else {
        return;
    };
    if !answer.status.is_success() {
        return;
    }
    let pointers = match (&answer.word_at, name) {
        (Some(pointer), _) => [pointer.as_str(), ""],
        (None, "schedule.poll" | "schedule.start") => ["/provisionStatus", ""],
        (None, _) => ["/value/status", "/status"],
    };
    for pointer in pointers.into_iter().filter(|pointer| !pointer.is_empty()) {
        if let Some(status) = body.pointer_mut(pointer) {
            *status = word.into();
            return;
        }
    }
}

/// Gives an answer without a body one, so that it can arrive slowly or by half.
fn fill(answer: &mut Answer) {
    if matches!(answer.content, Content::Empty) {
        answer.content = Content::Json(json!({ "note": "this answer has no body of its own" }));
    }
}

fn swell(answer: &mut Answer, bytes: usize) {
    let padding: Value = "x".repeat(bytes).into();
    match &mut answer.content {
        Content::Json(Value::Object(members)) => {
            members.insert("padding".to_owned(), padding);
        }
        Content::Text { text, .. } => {
            let mut bigger = text.to_vec();
            bigger.resize(text.len() + bytes, b'x');
            *text = Bytes::from(bigger);
        }
        Content::Json(_) | Content::Empty => {
            answer.content = Content::Json(json!({ "padding": padding }));
        }
    }
}

fn text(status: StatusCode, media_type: &'static str, text: String) -> Answer {
    let text = Bytes::from(text);
    Answer::new(status, Content::Text { media_type, text })
}

fn known(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
