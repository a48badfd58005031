//! Breaks a good catalogue file in one place after the other, and judges the permissions of the shipped ones.

use serde_json::Value;

use super::super::{Catalogue, Operation, TokenKind};

/// A file without faults, which each case breaks in one place.
const GOOD: &str = r#"name = "room.book"
summary = "Book a room"
restart = "idempotent"
token = ["application"]
permissions = { application = ["Place.Read.All"] }
clouds = ["global"]
deadline_seconds = 60

[start]
method = "POST"
version = "v1.0"
path = "/rooms/{roomId}/book"
accepted = [202]
monitor = ["location"]
body = { note = "{{/parameters/note}}", key = "{{/parameters/pin}}" }

[find]
path = "/rooms/{roomId}/bookings"
items = { at = "/value", where = { "/note" = "{operation/tag}" } }
monitor = "/rooms/{roomId}/bookings/{item/id}"
absent = "restart"

[poll]
initial_seconds = 1
max_seconds = 2
status = ["/status"]
words = { succeeded = ["done"], failed = ["failed"] }

[[then]]
path = "/rooms/{result/bookingId}"
exists = true
within_seconds = 60
every_seconds = 5

[result]
bookingId = { at = "/id" }

[parameters]
type = "object"
required = ["roomId", "pin"]
additionalProperties = false
[parameters.properties]
roomId = { type = "string", format = "uuid" }
note = { type = "string" }
pin = { type = "string", format = "secret" }
"#;

/// Returns the faults of the file in which `from` is replaced.
fn faults(from: &str, to: &str) -> String {
    let text = GOOD.replacen(from, to, 1);
    assert_ne!(text, GOOD, "{from}");
    let found = Operation::parse(&text, &[]).err().unwrap_or_default();
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    found.join("; ")
}

#[test]
fn the_good_file_has_no_fault() {
    Operation::parse(GOOD, &[]).unwrap();
}

#[test]
fn every_fault_names_line_key_and_rule() {
    for (from, to, expected) in [
        (
            "restart =",
            "restrat =",
            "3: restrat: unknown field `restrat`",
        ),
        (
            "\"idempotent\"",
            "\"sometimes\"",
            "3: restart: unknown variant `sometimes`",
        ),
        (
            "\"idempotent\"",
            "\"adopt\"",
            "3: restart: adopt needs start.already",
        ),
        (
            "\"idempotent\"",
            "\"never\"",
            "21: find.absent: must be unknown: a start of class never is not sent twice",
        ),
        (
            "token = [\"application\"]",
            "token = [\"delegated\"]",
            "5: permissions: has none for the token kind delegated",
        ),
        (
            "\"POST\"",
            "\"GET\"",
            "10: start.method: must be POST, PUT, PATCH or DELETE",
        ),
        (
            "\"v1.0\"",
            "\"v2.0\"",
            "11: start.version: must be v1.0 or beta",
        ),
        (
            "\"/rooms/{roomId}/book\"",
            "\"https://evil.example/{roomId}\"",
            "12: start.path: must be a path below the version",
        ),
        (
            "\"/rooms/{roomId}/book\"",
            "\"/v1.0/rooms/{roomId}\"",
            "12: start.path: must be a path below the version",
        ),
        (
            "\"/rooms/{roomId}/book\"",
            "\"/rooms/../x\"",
            "12: start.path: must be a path below the version",
        ),
        (
            "\"/rooms/{roomId}/book\"",
            "\"/rooms/%2Fx\"",
            "12: start.path: must be a path below the version",
        ),
        (
            "\"/rooms/{roomId}/book\"",
            "\"/rooms/{room}\"",
            "12: start.path: {room} is not known here",
        ),
        (
            "\"/rooms/{roomId}/book\"",
            "\"/rooms/{note}\"",
            "12: start.path: {note} may be absent",
        ),
        (
            "\"/rooms/{roomId}/book\"",
            "\"/rooms/{pin}\"",
            "12: start.path: {pin} is a secret",
        ),
        (
            "\"/rooms/{roomId}/book\"",
            "\"/rooms/{answer/id}\"",
            "12: start.path: {answer/id} is not known here",
        ),
        (
            "[\"location\"]",
            "[\"elsewhere\"]",
            "14: start.monitor: elsewhere is no source of a monitor",
        ),
        (
            "[\"location\"]",
            "[\"target:/rooms\"]",
            "14: start.monitor: target: is for start.already only",
        ),
        (
            "[\"location\"]",
            "[\"location\"]\nearly = [{ status = 404, for_seconds = 1, every_seconds = 2 }]",
            "15: start.early: every_seconds must be from 1 to for_seconds",
        ),
        (
            "[\"location\"]",
            "[\"location\"]\nmonitor_hosts = [\"*.evil.example\"]",
            "15: start.monitor_hosts: *.evil.example is not permitted",
        ),
        (
            "[\"location\"]",
            "[\"location\"]\nheaders = { Authorization = \"x\" }",
            "15: start.headers.Authorization: this header cannot be set",
        ),
        (
            "[\"location\"]",
            "[\"location\"]\nheaders = { Content-Length = \"x\" }",
            "15: start.headers.Content-Length: this header cannot be set",
        ),
        (
            "[\"location\"]",
            "[\"location\"]\nheaders = { X-Pin = \"{{/parameters/pin}}\" }",
            "15: start.headers.X-Pin: {{/parameters/pin}} is a secret",
        ),
        (
            "[\"location\"]",
            "[\"location\"]\nalready = [{ status = 409 }]",
            "15: start.already: needs either outcome or monitor",
        ),
        (
            "{{/parameters/note}}",
            "{{/parameters/nope}}",
            "15: start.body.note: {{/parameters/nope}} is not known",
        ),
        (
            ", where = { \"/note\" = \"{operation/tag}\" }",
            "",
            "17: find: needs where or since",
        ),
        (
            "\"/value\", where",
            "\"/value\", expect = \"/a\", where",
            "19: find.items.expect: needs key",
        ),
        (
            "[\"done\"]",
            "[\"done\", \"FAILED\"]",
            "27: poll.words: failed stands twice",
        ),
        (
            "[\"done\"]",
            "[\"unknownFutureValue\"]",
            "27: poll.words: unknownfuturevalue is never terminal",
        ),
        (
            "succeeded = [\"done\"], ",
            "",
            "27: poll.words: nothing ends the operation",
        ),
        (
            "initial_seconds = 1",
            "initial_seconds = 3",
            "24: poll.initial_seconds: must be from 1 to max_seconds",
        ),
        (
            "every_seconds = 5",
            "every_seconds = 500",
            "33: then.every_seconds: must be from 1 to within_seconds",
        ),
        (
            "{ at = \"/id\" }",
            "{ at = \"/id\", url = \"/x\" }",
            "36: result.bookingId: needs one of at, item",
        ),
        (
            "{ at = \"/id\" }",
            "{ item = \"/id\" }",
            "36: result.bookingId: needs poll.items",
        ),
        (
            "{ at = \"/id\" }",
            "{ parameter = \"pin\" }",
            "36: result.bookingId: must be a parameter that is no secret",
        ),
        (
            "{ at = \"/id\" }",
            "{ url = \"/x\", secret = true }",
            "36: result.bookingId: a secret must be one value",
        ),
        (
            "{ at = \"/id\" }",
            "{ start = \"/id\" }",
            "36: result.bookingId: start is for secrets",
        ),
        (
            "type = \"string\" }",
            "type = \"string\", pattern = \"x\" }",
            "38: parameters: /properties/note/pattern: the keyword is not supported",
        ),
    ] {
        let found = faults(from, to);
        assert!(found.starts_with(expected), "{from} -> {to}: {found}");
    }
}

#[test]
fn an_early_refusal_does_not_go_with_never() {
    let text = GOOD
        .replace("\"idempotent\"", "\"never\"")
        .replace("\"restart\"", "\"unknown\"")
        .replace(
            "[\"location\"]",
            "[\"location\"]\nearly = [{ status = 404, for_seconds = 9, every_seconds = 2 }]",
        );
    let faults = Operation::parse(&text, &[]).unwrap_err();
    assert_eq!(faults.len(), 1);
    assert!(
        faults[0].rule.starts_with("never is sent once"),
        "{faults:?}"
    );
}

#[test]
fn an_operators_file_adds_an_operation_and_replaces_a_shipped_one_only_when_it_says_so() {
    let named =
        |name: &str, more: &str| GOOD.replace("\"room.book\"", &format!("\"{name}\"\n{more}"));
    let read = |texts: &[String]| {
        let files = texts.iter().enumerate();
        let files: Vec<_> = files
            .map(|(number, text)| (format!("own/{number}.toml"), text.clone()))
            .collect();
        Catalogue::with_files(&files, &[])
    };
    let shipped = Catalogue::shipped().iter().count();
    let own = read(&[GOOD.to_owned()]).unwrap();
    assert_eq!(own.iter().count(), shipped + 1);
    assert!(own.find("room.book").is_some() && own.find("team.create").is_some());
    let replaced = read(&[named("team.create", "replaces = true")]).unwrap();
    assert_eq!(replaced.iter().count(), shipped);
    assert_eq!(replaced.find("team.create").unwrap().summary, "Book a room");
    for (texts, expected) in [
        (
            vec![named("team.create", "")],
            "own/0.toml:1: name: is the name of a shipped operation",
        ),
        (
            vec![named("room.book", "replaces = true")],
            "own/0.toml:1: name: no shipped operation has this name",
        ),
        (
            vec![GOOD.to_owned(), GOOD.to_owned()],
            "own/1.toml:1: name: another file has this name",
        ),
        (
            vec![GOOD.replace("POST", "GET")],
            "own/0.toml:10: start.method: must be",
        ),
    ] {
        let faults = read(&texts).unwrap_err();
        assert!(faults[0].to_string().starts_with(expected), "{faults:?}");
    }
}

#[test]
fn another_host_is_permitted_where_the_configuration_names_it() {
    let text = GOOD.replace(
        "[\"location\"]",
        "[\"location\"]\nmonitor_hosts = [\"jobs.example.com\"]",
    );
    assert!(Operation::parse(&text, &[]).is_err());
    assert!(Operation::parse(&text, &["jobs.example.com".to_owned()]).is_ok());
}

/// Writes a path as Microsoft's permission data does: without query, in lower case, each key as `{id}`.
fn normal(path: &str) -> String {
    let mut path = path
        .split('?')
        .next()
        .unwrap()
        .replace("('{", "/{")
        .replace("}')", "}");
    path = path.replace("/28c10230-6103-485e-b985-444c60001490", "/{id}");
    let mut normal = String::new();
    let mut rest = path.as_str();
    while let Some((before, after)) = rest.split_once('{') {
        normal.push_str(before);
        normal.push_str("{id}");
        rest = after.split_once('}').unwrap().1;
    }
    normal.push_str(rest);
    normal.to_lowercase()
}

#[test]
fn a_named_permission_suffices_for_each_call_that_microsofts_data_knows() {
    let data = include_str!("../../../tests/catalogue-data/permission-oracle.json");
    let data: Value = serde_json::from_str(data).unwrap();
    let mut judged = 0;
    for operation in Catalogue::shipped().iter() {
        for (method, path) in operation.calls() {
            let call = format!("{method} {}", normal(path));
            let also = call.replace("/solutions/backuprestore", "/backuprestore");
            let Some(known) = data["calls"]
                .get(&call)
                .or_else(|| data["calls"].get(&also))
            else {
                continue;
            };
            for kind in &operation.token {
                let sufficient = known[kind.as_str()].as_array().cloned().unwrap_or_default();
                let named = operation.permissions_of(*kind).iter();
                let suffices = named
                    .into_iter()
                    .any(|name| sufficient.iter().any(|known| known == name));
                assert!(
                    suffices,
                    "{}: {call} with a token of the kind {}: {sufficient:?}",
                    operation.name,
                    kind.as_str()
                );
                judged += 1;
            }
        }
    }
    assert!(judged >= 60, "{judged}");
    assert_eq!(TokenKind::Application.as_str(), "application");
}
