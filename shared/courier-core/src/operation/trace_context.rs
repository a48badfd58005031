//! W3C Trace Context (<https://www.w3.org/TR/trace-context/>): what of a request is kept, what its callbacks carry, and
//! the id by which the log names the trace.

use http::HeaderMap;
use sha2::{Digest, Sha256};
use tracing::Span;

use crate::operation::Record;

/// Length of a `traceparent` of version 00; later versions begin with the same fields.
const PARENT_CHARS: usize = 55;
/// The only flag of version 00: the caller may have recorded the trace.
const SAMPLED: u8 = 1;
/// Most members of a `tracestate` (§3.3.1.1); one with more is not valid.
const MAX_MEMBERS: usize = 32;
/// Characters of a `tracestate` that everybody must pass on (§3.3.1.5); what is longer is shortened.
const STATE_CHARS: usize = 512;
/// Members that are longer are the first to go.
const LONG_MEMBER_CHARS: usize = 128;

/// The trace that a request belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// The valid `traceparent`, in the form of version 00.
    pub parent: String,
    /// What systems on the way have added, for themselves.
    pub state: Option<String>,
}

impl TraceContext {
    /// Returns the trace context of a request; `None` if it has no valid one, which is no mistake (§2.2.2, §4.2).
    ///
    /// A `tracestate` that is not valid is left out, and the trace goes on without it.
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all("traceparent").iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return None;
        };
        Some(Self {
            parent: parent(value.to_str().ok()?)?,
            state: state(headers),
        })
    }

    /// Returns the id of the trace.
    pub fn trace_id(&self) -> &str {
        trace_id(&self.parent).unwrap_or_default()
    }
}

/// Returns the span for a step of this operation, which gives each of its log lines the trace's id.
pub(crate) fn span(record: &Record) -> Span {
    match record.traceparent.as_deref().and_then(trace_id) {
        Some(id) => tracing::info_span!("step", trace.id = id),
        None => Span::none(),
    }
}

/// Returns the `traceparent` of a call that is made for this one: of the same trace, with an id of its own.
///
/// The id is made from `call`, which names one call among all. Unknown flags are set to zero (§3.2.2.5).
pub(crate) fn child(traceparent: &str, call: &str) -> Option<String> {
    let fields: Vec<&str> = traceparent.split('-').collect();
    let &["00", trace, parent, flags] = fields.as_slice() else {
        return None;
    };
    let flags = u8::from_str_radix(flags, 16).ok()? & SAMPLED;
    let hash = Sha256::new()
        .chain_update(b"graph-courier span v1\0")
        .chain_update(parent)
        .chain_update(b"\0")
        .chain_update(call)
        .finalize();
    let mut id = [0; 8];
    id.copy_from_slice(&hash[..8]);
    // An id of zeros is not valid.
    let id = u64::from_be_bytes(id).max(1);
    Some(format!("00-{trace}-{id:016x}-{flags:02x}"))
}

fn trace_id(traceparent: &str) -> Option<&str> {
    traceparent.split('-').nth(1)
}

/// Reads a `traceparent` of any version (§4.3), into the form of version 00.
fn parent(text: &str) -> Option<String> {
    let (known, more) = text.split_at_checked(PARENT_CHARS)?;
    let fields: Vec<&str> = known.split('-').collect();
    let &[version, trace, parent, flags] = fields.as_slice() else {
        return None;
    };
    let has_lengths = [version, trace, parent, flags].map(str::len) == [2, 32, 16, 2];
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let are_hex = known.bytes().all(|byte| byte == b'-' || is_hex(byte));
    let is_zero = |id: &str| id.bytes().all(|byte| byte == b'0');
    let ends = more.is_empty() || version != "00" && more.starts_with('-');
    let is_valid =
        has_lengths && are_hex && ends && version != "ff" && !is_zero(trace) && !is_zero(parent);
    is_valid.then(|| format!("00-{trace}-{parent}-{flags}"))
}

/// Reads the `tracestate` of all lines together; `None` if there is none or it is not valid.
fn state(headers: &HeaderMap) -> Option<String> {
    let mut members = Vec::new();
    for value in headers.get_all("tracestate") {
        for member in value.to_str().ok()?.split(',') {
            let member = member.trim_matches([' ', '\t']);
            if !member.is_empty() && !is_member(member) {
                return None;
            }
            members.push(member);
        }
    }
    // Empty members are permitted, and mean nothing.
    members.retain(|member| !member.is_empty());
    if members.len() > MAX_MEMBERS {
        return None;
    }
    shorten(&mut members);
    (!members.is_empty()).then(|| members.join(","))
}

/// Takes whole members away until the rest may be passed on: long ones first, then from the end (§3.3.1.5).
fn shorten(members: &mut Vec<&str>) {
    let is_too_long = |members: &[&str]| {
        let chars: usize = members.iter().map(|member| member.len() + 1).sum();
        chars > STATE_CHARS + 1
    };
    while is_too_long(members) {
        let is_long = |member: &&str| member.len() > LONG_MEMBER_CHARS;
        let last = members.iter().rposition(is_long);
        members.remove(last.unwrap_or(members.len() - 1));
    }
}

/// Reports whether a text is a `list-member` that is not empty (§3.3.1.3).
fn is_member(text: &str) -> bool {
    let Some((key, value)) = text.split_once('=') else {
        return false;
    };
    let is_key = match key.split_once('@') {
        None => is_name(key, 256) && !key.starts_with(|first: char| first.is_ascii_digit()),
        Some((tenant, system)) => {
            is_name(tenant, 241)
                && is_name(system, 14)
                && !system.starts_with(|first: char| first.is_ascii_digit())
        }
    };
    let is_printable = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'=';
    is_key && (1..=256).contains(&value.len()) && value.bytes().all(is_printable)
}

/// Reports whether a text of a key begins with a small letter or a digit, and has only what a key may have.
fn is_name(text: &str, most: usize) -> bool {
    let is_first = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let may_follow = |byte: u8| is_first(byte) || b"_-*/".contains(&byte);
    text.len() <= most && text.bytes().next().is_some_and(is_first) && text.bytes().all(may_follow)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn read(states: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", HeaderValue::from_static(PARENT));
        for state in states {
            headers.append(
                "tracestate",
                HeaderValue::from_bytes(state.as_bytes()).unwrap(),
            );
        }
        TraceContext::read(&headers).unwrap().state
    }

    #[test]
    fn a_tracestate_is_kept_if_each_member_is_valid() {
        for kept in [
            "congo=t61rcWkgMzE",
            "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
            "tenant@system=a b~!",
            "0tenant@system=1",
            "a/_-*=x",
        ] {
            assert_eq!(read(&[kept]).as_deref(), Some(kept));
        }
        let joined = read(&[" a=1 ,, b=2\t", "c=3"]);
        assert_eq!(joined.as_deref(), Some("a=1,b=2,c=3"));
        let long = format!("a={}", "x".repeat(257));
        for ignored in [
            "",
            ",",
            "a",
            "a=",
            "=1",
            "A=1",
            "0a=1",
            "a=1=2",
            "a=é",
            "a b=1",
            "@s=1",
            "t@=1",
            "t@0s=1",
            "t@s@r=1",
            "t@system-of-15-chars=1",
            "b=2,a",
            &long,
        ] {
            assert_eq!(read(&[ignored]), None, "{ignored}");
        }
        let many = |count| vec!["a=1"; count].join(",");
        assert_eq!(read(&[&many(32)]), Some(many(32)));
        assert_eq!(read(&[&many(33)]), None);
    }

    #[test]
    fn a_long_tracestate_loses_its_long_members_first_and_then_the_last_ones() {
        let long = format!("long={}", "x".repeat(200));
        let members: Vec<String> = (10..30)
            .map(|n| format!("m{n}={}", "y".repeat(20)))
            .collect();
        let all = [members[..1].join(","), long, members[1..].join(",")].join(",");
        assert!(all.len() > STATE_CHARS);
        // 20 members of 24 characters and the commas between them: 499.
        assert_eq!(read(&[&all]), Some(members.join(",")));
        let members: Vec<String> = (10..32)
            .map(|n| format!("m{n}={}", "y".repeat(20)))
            .collect();
        assert_eq!(read(&[&members.join(",")]), Some(members[..20].join(",")));
    }

    #[test]
    fn each_call_has_an_id_of_its_own_in_the_same_trace() {
        let first = child(PARENT, "msg_1 1").unwrap();
        let second = child(PARENT, "msg_1 2").unwrap();
        assert_ne!(first, second);
        for one in [&first, &second] {
            assert_eq!(parent(one).as_deref(), Some(one.as_str()));
            assert_eq!(trace_id(one), trace_id(PARENT));
            assert_ne!(one, PARENT);
        }
        let flags = child(&PARENT.replace("-01", "-ff"), "").unwrap();
        assert!(flags.ends_with("-01"), "{flags}");
    }
}
