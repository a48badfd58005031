//! The routes of the simulated services.
//!
//! Graph compares path segments without regard to case, and accepts keys as a segment or in parentheses.

use http::{Method, StatusCode};

use crate::answer::Failure;
use crate::blobs::STORAGE_ACCOUNT;
use crate::declared::Aim;
use crate::version::Version;

/// The names of the calls that no file declares, as the journal and the faults use them.
pub(crate) const CALLS: [&str; 14] = [
    "discovery",
    "token",
    "storage.account",
    "storage.container",
    "export.start",
    "export.poll",
    "export.list",
    "goals.start",
    "goals.poll",
    "goals.list",
    "goals.content",
    "schedule.start",
    "schedule.poll",
    "other",
];

#[derive(Debug)]
pub(crate) enum Route {
    /// The OpenID Connect configuration of a tenant, where client libraries look up the token endpoint.
    Discovery {
        tenant: String,
    },
    Token {
        tenant: String,
    },
    /// A call of the storage account, with what stands behind the account's name in the path.
    Storage {
        method: Method,
        path: String,
    },
    Graph {
        version: Version,
        target: Target,
    },
    /// A call of an operation that files declare.
    Declared(Aim),
    Refused(Failure),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    ExportStart { user: String },
    ExportPoll { id: String },
    ExportList,
    GoalsStart,
    GoalsPoll { key: String },
    GoalsList,
    GoalsContent { key: String },
    ScheduleStart { team: String },
    SchedulePoll { team: String },
}

impl Route {
    pub(crate) fn parse(method: &Method, path: &str) -> Self {
        let below_account = path.trim_start_matches('/').strip_prefix(STORAGE_ACCOUNT);
        if let Some(path) = below_account.filter(|path| path.starts_with('/')) {
            let (method, path) = (method.clone(), path.to_owned());
            return Self::Storage { method, path };
        }
        let segments = segments(path);
        let lower: Vec<String> = segments.iter().map(|s| s.to_ascii_lowercase()).collect();
        let words: Vec<&str> = lower.iter().map(String::as_str).collect();
        match words.as_slice() {
            [_, "oauth2", "v2.0", "token"] if method == Method::POST => Self::Token {
                tenant: segments[0].clone(),
            },
            [_, "v2.0", ".well-known", "openid-configuration"] if method == Method::GET => {
                Self::Discovery {
                    tenant: segments[0].clone(),
                }
            }
            ["v1.0", rest @ ..] => graph(Version::V1, method, rest, &segments[1..]),
            ["beta", rest @ ..] => graph(Version::Beta, method, rest, &segments[1..]),
            [first, ..] => refused(StatusCode::BAD_REQUEST, format!("Invalid version: {first}")),
            [] => refused(StatusCode::BAD_REQUEST, "Empty path".to_owned()),
        }
    }

    pub(crate) fn call(&self) -> &str {
        match self {
            Self::Discovery { .. } => "discovery",
            Self::Token { .. } => "token",
            Self::Storage { path, .. } if path == "/" => "storage.account",
            Self::Storage { .. } => "storage.container",
            Self::Graph { target, .. } => target.call(),
            Self::Declared(aim) => &aim.call,
            Self::Refused(_) => "other",
        }
    }
}

impl Target {
    fn call(&self) -> &'static str {
        match self {
            Self::ExportStart { .. } => "export.start",
            Self::ExportPoll { .. } => "export.poll",
            Self::ExportList => "export.list",
            Self::GoalsStart => "goals.start",
            Self::GoalsPoll { .. } => "goals.poll",
            Self::GoalsList => "goals.list",
            Self::GoalsContent { .. } => "goals.content",
            Self::ScheduleStart { .. } => "schedule.start",
            Self::SchedulePoll { .. } => "schedule.poll",
        }
    }
}

fn graph(version: Version, method: &Method, words: &[&str], segments: &[String]) -> Route {
    let get = method == Method::GET;
    let post = method == Method::POST;
    let key = |index: usize| segments[index].clone();
    let target = match words {
        ["users", _, "exportpersonaldata"] => post.then(|| Target::ExportStart { user: key(1) }),
        ["datapolicyoperations"] => get.then_some(Target::ExportList),
        ["datapolicyoperations", _] => get.then(|| Target::ExportPoll { id: key(1) }),
        ["employeeexperience", "goals", ..] if version == Version::V1 => {
            return refused(
                StatusCode::BAD_REQUEST,
                "Resource not found for the segment 'goals'.".to_owned(),
            );
        }
        ["employeeexperience", "goals", "exportjobs"] if get => Some(Target::GoalsList),
        ["employeeexperience", "goals", "exportjobs"] => post.then_some(Target::GoalsStart),
        ["employeeexperience", "goals", "exportjobs", _] => {
            get.then(|| Target::GoalsPoll { key: key(3) })
        }
        ["employeeexperience", "goals", "exportjobs", _, "content"] => {
            get.then(|| Target::GoalsContent { key: key(3) })
        }
        ["teams", _, "schedule"] if get => Some(Target::SchedulePoll { team: key(1) }),
        ["teams", _, "schedule"] => {
            (method == Method::PUT).then(|| Target::ScheduleStart { team: key(1) })
        }
        _ => {
            let segment = segments.first().map_or("", String::as_str);
            let text = format!("Resource not found for the segment '{segment}'.");
            return refused(StatusCode::BAD_REQUEST, text);
        }
    };
    match target {
        Some(target) => Route::Graph { version, target },
        None => refused(
            StatusCode::METHOD_NOT_ALLOWED,
            "Specified HTTP method is not allowed for the request target.".to_owned(),
        ),
    }
}

fn refused(status: StatusCode, message: String) -> Route {
    let code = if status == StatusCode::METHOD_NOT_ALLOWED {
        "MethodNotAllowed"
    } else {
        "BadRequest"
    };
    Route::Refused(Failure::new(status, code, message))
}

/// Splits a path into its decoded segments; a key in parentheses is one of its own.
pub(crate) fn segments(path: &str) -> Vec<String> {
    let mut segments = Vec::new();
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        let segment = decode(segment);
        match keyed(&segment) {
            Some((name, key)) => segments.extend([name.to_owned(), key.to_owned()]),
            None => segments.push(segment),
        }
    }
    segments
}

/// Returns the name and the key of `name('key')`, or of `name(key)` as some of Graph's Locations have it.
fn keyed(segment: &str) -> Option<(&str, &str)> {
    if let Some(quoted) = segment.strip_suffix("')") {
        return quoted.split_once("('");
    }
    let (name, key) = segment.strip_suffix(')')?.split_once('(')?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphabetic());
    (is_name && !key.is_empty()).then_some((name, key))
}

fn decode(segment: &str) -> String {
    if !segment.contains('%') {
        return segment.to_owned();
    }
    // A plus is an ordinary character in a path, so it is protected from the form decoder.
    let form = segment
        .replace('+', "%2B")
        .replace('&', "%26")
        .replace('=', "%3D");
    let mut pairs = url::form_urlencoded::parse(form.as_bytes());
    pairs
        .next()
        .map_or_else(String::new, |(text, _)| text.into_owned())
}
