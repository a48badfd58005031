//! The routes of the API: which path is which resource, and which methods each has.

use http::Method;

/// A resource of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route<'p> {
    Health,
    Readiness,
    Operations,
    Operation(&'p str),
    History(&'p str),
    Cancel(&'p str),
    Resume(&'p str),
    Callback(&'p str),
    Redeliver(&'p str),
    RedeliverAll,
    /// A path below the operations that does not exist, which only an authenticated caller is told.
    Nothing,
}

impl<'p> Route<'p> {
    /// Returns the resource of a path, which is taken as it was sent: nothing is decoded, joined or resolved.
    ///
    /// One slash at the end changes nothing. A redirect to the path without it would cost many clients their body.
    pub(super) fn find(path: &'p str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let parts: Vec<&str> = path.split('/').collect();
        let ["v1", "operations", rest @ ..] = parts.as_slice() else {
            return match parts.as_slice() {
                ["healthz"] => Some(Self::Health),
                ["readyz"] => Some(Self::Readiness),
                _ => None,
            };
        };
        Some(match rest {
            [] => Self::Operations,
            _ if rest.contains(&"") => Self::Nothing,
            ["callback", "redeliver"] => Self::RedeliverAll,
            [id] => Self::Operation(id),
            [id, "history"] => Self::History(id),
            [id, "cancel"] => Self::Cancel(id),
            [id, "resume"] => Self::Resume(id),
            [id, "callback"] => Self::Callback(id),
            [id, "callback", "redeliver"] => Self::Redeliver(id),
            _ => Self::Nothing,
        })
    }

    /// Returns the methods of the resource, as the header `Allow` lists them.
    pub(super) fn methods(self) -> &'static str {
        match self {
            Self::Health | Self::Readiness | Self::History(_) => "GET, HEAD, OPTIONS",
            Self::Operation(_) => "DELETE, GET, HEAD, OPTIONS",
            Self::Operations => "GET, HEAD, OPTIONS, POST",
            Self::Cancel(_) | Self::Resume(_) | Self::Redeliver(_) | Self::RedeliverAll => {
                "OPTIONS, POST"
            }
            Self::Callback(_) => "OPTIONS, PATCH",
            Self::Nothing => "",
        }
    }

    pub(super) fn has(self, method: &Method) -> bool {
        self.methods()
            .split(", ")
            .any(|name| name == method.as_str())
    }

    /// Reports whether query parameters mean anything to `method` here.
    pub(super) fn reads_query(self, method: &Method) -> bool {
        self == Self::RedeliverAll || self == Self::Operations && method != Method::POST
    }
}
