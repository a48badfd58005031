//! The calls of the API: one table, from which the dispatch, `Allow`, the OpenAPI document and the reference page come.

use http::Method;

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handler {
    Health,
    Readiness,
    OpenApi,
    Catalogue,
    CatalogueEntry,
    List,
    Create,
    RedeliverAll,
    Read,
    Erase,
    History,
    Evidence,
    EvidenceKeys,
    Cancel,
    Resume,
    Acknowledge,
    LegalExtend,
    LegalPause,
    LegalResume,
    Retarget,
    Redeliver,
    TestCallback,
}

/// Who may make a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without credentials.
    Everybody,
    /// Every client and every operator.
    Readers,
    /// Every client, and every operator that is not read-only.
    Writers,
}

/// One call of the API.
#[derive(Debug)]
pub struct Call {
    pub handler: Handler,
    pub method: &'static str,
    /// The path, where `{…}` is one segment.
    pub path: &'static str,
    pub access: Access,
    /// The query parameters that mean something, by name; those of [`FILTER`] for a list.
    pub query: &'static [&'static str],
    pub summary: &'static str,
}

/// The query parameters that select operations.
pub const FILTER: &[&str] = &[
    "status",
    "client",
    "operation",
    "reference",
    "callback",
    "person",
    "createdAfter",
    "createdBefore",
    "deadlineBefore",
    "dueBefore",
    "sort",
    "limit",
    "cursor",
];
const BULK: &[&str] = &[
    "status",
    "client",
    "operation",
    "reference",
    "callback",
    "person",
    "createdAfter",
    "createdBefore",
    "cursor",
    "dryRun",
    "since",
    "until",
];
const CLIENT: &[&str] = &["client"];

const fn call(
    handler: Handler,
    (method, path): (&'static str, &'static str),
    access: Access,
    query: &'static [&'static str],
    summary: &'static str,
) -> Call {
    Call {
        handler,
        method,
        path,
        access,
        query,
        summary,
    }
}

/// Every call, in the order of the reference page. A literal segment comes before a `{…}` in its place.
pub static CALLS: [Call; 22] = [
    call(
        Handler::Create,
        ("POST", "/v1/operations"),
        Access::Writers,
        CLIENT,
        "Starts an operation.",
    ),
    call(
        Handler::List,
        ("GET", "/v1/operations"),
        Access::Readers,
        FILTER,
        "Lists operations, newest first, 50 on a page.",
    ),
    call(
        Handler::Read,
        ("GET", "/v1/operations/{id}"),
        Access::Readers,
        &[],
        "Reads one operation; with `Prefer: wait`, as soon as it has ended.",
    ),
    call(
        Handler::History,
        ("GET", "/v1/operations/{id}/history"),
        Access::Readers,
        &[],
        "Tells what happened to an operation.",
    ),
    call(
        Handler::Evidence,
        ("GET", "/v1/operations/{id}/evidence"),
        Access::Readers,
        &[],
        "Signs what was observed of an operation, as a DSSE envelope.",
    ),
    call(
        Handler::Cancel,
        ("POST", "/v1/operations/{id}/cancel"),
        Access::Writers,
        &[],
        "Stops following the operation. The job at Graph goes on.",
    ),
    call(
        Handler::Resume,
        ("POST", "/v1/operations/{id}/resume"),
        Access::Writers,
        &[],
        "Goes on following the job of an operation that ended as `expired` or `monitor_gone`, as a new operation. Its `resumedFrom` names the ended one, whose `resumedAs` names it.",
    ),
    call(
        Handler::Acknowledge,
        ("POST", "/v1/operations/{id}/acknowledge"),
        Access::Writers,
        &[],
        "Notes that a person has looked into an `unknown` outcome.",
    ),
    call(
        Handler::LegalExtend,
        ("POST", "/v1/operations/{id}/legal/extend"),
        Access::Writers,
        &[],
        "Extends the legal period of which the person was told.",
    ),
    call(
        Handler::LegalPause,
        ("POST", "/v1/operations/{id}/legal/pause"),
        Access::Writers,
        &[],
        "Stops the legal clock, where its regulation knows a pause.",
    ),
    call(
        Handler::LegalResume,
        ("POST", "/v1/operations/{id}/legal/resume"),
        Access::Writers,
        &[],
        "Lets the legal clock go on.",
    ),
    call(
        Handler::Erase,
        ("DELETE", "/v1/operations/{id}"),
        Access::Writers,
        &[],
        "Erases what the operation says about people.",
    ),
    call(
        Handler::RedeliverAll,
        ("POST", "/v1/operations/callback/redeliver"),
        Access::Writers,
        BULK,
        "Sends the completions of all operations that a filter finds again; `dryRun=true` only counts them.",
    ),
    call(
        Handler::Retarget,
        ("PATCH", "/v1/operations/{id}/callback"),
        Access::Writers,
        &[],
        "Changes the callback's URL, profile or token; an undeliverable completion is sent there at once.",
    ),
    call(
        Handler::Redeliver,
        ("POST", "/v1/operations/{id}/callback/redeliver"),
        Access::Writers,
        &[],
        "Sends the same completion again, on a new schedule.",
    ),
    call(
        Handler::TestCallback,
        ("POST", "/v1/callbacks/test"),
        Access::Writers,
        CLIENT,
        "Sends an example of a completion to a receiver, once, and tells what it answered.",
    ),
    call(
        Handler::Catalogue,
        ("GET", "/v1/catalogue"),
        Access::Readers,
        CLIENT,
        "Lists the operations that the caller may ask for, with their parameters.",
    ),
    call(
        Handler::CatalogueEntry,
        ("GET", "/v1/catalogue/{name}"),
        Access::Readers,
        CLIENT,
        "Describes one operation of the catalogue.",
    ),
    call(
        Handler::EvidenceKeys,
        ("GET", "/v1/evidence/keys"),
        Access::Everybody,
        &[],
        "Lists the public keys that verify evidence, as a JWK Set.",
    ),
    call(
        Handler::OpenApi,
        ("GET", "/openapi.json"),
        Access::Everybody,
        &[],
        "Describes this API as an OpenAPI 3.1 document.",
    ),
    call(
        Handler::Health,
        ("GET", "/healthz"),
        Access::Everybody,
        &[],
        "Says that the process runs, for liveness probes.",
    ),
    call(
        Handler::Readiness,
        ("GET", "/readyz"),
        Access::Everybody,
        &[],
        "Says whether the store can be read, for readiness probes.",
    ),
];

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resource<'p> {
    /// The path in [`CALLS`]; empty for a path below the operations that does not exist, which only an authenticated
    /// caller is told.
    pattern: &'static str,
    /// The segment in the place of `{…}`.
    pub(super) name: &'p str,
}

impl<'p> Resource<'p> {
    /// Returns the resource of a path, which is taken as it was sent: nothing is decoded, joined or resolved.
    ///
    /// One slash at the end changes nothing. A redirect to the path without it would cost many clients their body.
    pub(super) fn find(path: &'p str) -> Option<Self> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let found = CALLS.iter().find_map(|call| {
            let name = matched(call.path, path)?;
            let pattern = call.path;
            Some(Self { pattern, name })
        });
        let nothing = Self {
            pattern: "",
            name: "",
        };
        found.or_else(|| path.starts_with("/v1/operations/").then_some(nothing))
    }

    /// Returns the call of this method; `HEAD` is answered by the call of `GET`.
    pub(super) fn call(self, method: &Method) -> Option<&'static Call> {
        let wanted = match *method {
            Method::HEAD => "GET",
            _ => method.as_str(),
        };
        self.calls().find(|call| call.method == wanted)
    }

    fn calls(self) -> impl Iterator<Item = &'static Call> {
        CALLS.iter().filter(move |call| call.path == self.pattern)
    }

    /// Reports whether anybody may make every call of this resource.
    pub(super) fn is_open(self) -> bool {
        let mut calls = self.calls().peekable();
        calls.peek().is_some() && calls.all(|call| call.access == Access::Everybody)
    }

    /// Returns the methods of the resource, as the header `Allow` lists them.
    pub(super) fn methods(self) -> String {
        let mut methods: Vec<&str> = self.calls().map(|call| call.method).collect();
        if methods.is_empty() {
            return String::new();
        }
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        methods.push("OPTIONS");
        methods.sort_unstable();
        methods.join(", ")
    }
}

/// Returns the path in [`CALLS`] that a request's path matches, which names it without its ids.
pub fn pattern(path: &str) -> Option<&'static str> {
    let pattern = Resource::find(path)?.pattern;
    (!pattern.is_empty()).then_some(pattern)
}

/// Returns the segment of `path` in the place of `{…}` (empty if there is none) if the path matches the pattern.
fn matched<'p>(pattern: &str, path: &'p str) -> Option<&'p str> {
    let (mut wanted, mut sent) = (pattern.split('/'), path.split('/'));
    let mut name = "";
    loop {
        match (wanted.next(), sent.next()) {
            (None, None) => return Some(name),
            (Some(part), Some(segment)) if part.starts_with('{') && !segment.is_empty() => {
                name = segment;
            }
            (Some(part), Some(segment)) if part == segment => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_found_under_its_own_path_and_method() {
        for call in &CALLS {
            let path = call.path.replace("{id}", "op_1").replace("{name}", "x");
            let resource = Resource::find(&path).unwrap();
            let method = Method::from_bytes(call.method.as_bytes()).unwrap();
            let found = resource.call(&method).unwrap();
            assert_eq!(found.handler, call.handler, "{path}");
        }
        let mut handlers: Vec<String> = CALLS
            .iter()
            .map(|call| format!("{:?}", call.handler))
            .collect();
        handlers.sort();
        handlers.dedup();
        assert_eq!(handlers.len(), CALLS.len(), "each call has its own handler");
    }

    #[test]
    fn paths_are_taken_as_they_are_sent() {
        let found = |path| Resource::find(path).map(|resource| (resource.pattern, resource.name));
        assert_eq!(found("/v1/operations/"), Some(("/v1/operations", "")));
        assert_eq!(
            found("/v1/operations/op_1/callback/redeliver/"),
            Some(("/v1/operations/{id}/callback/redeliver", "op_1"))
        );
        for below in [
            "/v1/operations//",
            "/v1/operations//cancel",
            "/v1/operations/op_1/%63ancel",
        ] {
            assert_eq!(found(below), Some(("", "")), "{below}");
        }
        for nowhere in [
            "",
            "/",
            "//",
            "v1/operations",
            "//v1/operations",
            "/v1",
            "/v1/operation",
            "/healthz//",
        ] {
            assert_eq!(found(nowhere), None, "{nowhere}");
        }
    }
}
