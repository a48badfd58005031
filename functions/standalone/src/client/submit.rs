//! `courier submit`: asks for an operation.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use anyhow::anyhow;
use courier_core::crypto::hmac::Encoding;
use http::HeaderName;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::client::arguments::Submit;
use crate::client::connection::{Call, Connection};
use crate::client::document::Standing;
use crate::client::moment::{Side, moment};
use crate::client::refusal::Failure;
use crate::client::{print_operation, watch};
use crate::failure::Usage;
use crate::output;
use crate::terminal::{Screen, shown};

/// Asks for an operation, and waits for its end if that is wanted.
pub(crate) async fn run(arguments: &Submit) -> anyhow::Result<ExitCode> {
    let parameters = parameters(arguments)?;
    let connection = Connection::open(&arguments.target)?;
    let body = body(arguments, parameters, connection.clock.now())?;
    let mut call = Call::post("/v1/operations")
        .query("client", arguments.client.as_deref())
        .body(body);
    let key = idempotency_key(arguments)?;
    if let Some(key) = &key {
        call = call.header(HeaderName::from_static("idempotency-key"), key);
    }
    let sent = connection.send(&call).await;
    let answer = match sent {
        Ok(answer) => answer,
        Err(failure) => return refused(arguments, failure, key.as_deref()),
    };
    let operation = answer.operation()?;
    if answer.header("idempotency-replayed") == Some("true") {
        output::tell("this has been asked for before: here is what became of it");
    }
    let is_open = Standing::of(&operation) == Standing::Open;
    if is_open && (arguments.wait || arguments.watch) {
        let id = operation["id"].as_str().unwrap_or_default().to_owned();
        let json = arguments.target.json;
        return watch::follow(
            &connection,
            vec![id],
            arguments.at_most,
            arguments.watch,
            json,
        )
        .await;
    }
    let screen = Screen::of_output();
    print_operation(
        &operation,
        arguments.target.json,
        &screen,
        connection.clock.now(),
    )?;
    let standing = Standing::of(&operation);
    // What is asked for here is the start alone.
    Ok(match standing {
        Standing::Open => ExitCode::SUCCESS,
        Standing::Succeeded | Standing::Failed | Standing::Unknown => standing.code(),
    })
}

/// Says what to do about a request that was not taken; one that Graph refused is an operation that has failed.
fn refused(arguments: &Submit, failure: Failure, key: Option<&str>) -> anyhow::Result<ExitCode> {
    match &failure {
        Failure::Refused(refusal) => {
            if let Some(operation) = refusal.operation() {
                if arguments.target.json {
                    output::print(&crate::terminal::json_line(operation))?;
                }
                output::tell(&failure.to_string());
                return Ok(Standing::of(operation).code());
            }
        }
        Failure::NoAnswer(_) => {
            let again = match (key, &arguments.reference) {
                (Some(key), _) => format!(
                    "it may have been taken: with --idempotency-key '{}' it can be sent again without starting it twice",
                    shown(key)
                ),
                (None, Some(_)) => {
                    "it may have been taken: with the same --reference it can be sent again without starting it twice".to_owned()
                }
                (None, None) => return Err(failure.into()),
            };
            output::tell(&again);
        }
        Failure::NotSent(_) | Failure::NotCourier(_) => {}
    }
    Err(failure.into())
}

/// Returns the key that is sent: the given one, or a random one where nothing else tells a repeat.
fn idempotency_key(arguments: &Submit) -> anyhow::Result<Option<String>> {
    if arguments.idempotency_key.is_some() {
        return Ok(arguments.idempotency_key.clone());
    }
    if arguments.reference.is_some() {
        return Ok(None);
    }
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow!("random bytes could not be read: {error}"))?;
    Ok(Some(format!("courier-{}", Encoding::Hex.encode(&bytes))))
}

fn body(
    arguments: &Submit,
    parameters: Map<String, Value>,
    now: Timestamp,
) -> anyhow::Result<Value> {
    let deadline = arguments.deadline.as_deref();
    let deadline = moment("--deadline", deadline, Side::After, now)?;
    let mut body = json!({ "operation": arguments.operation, "parameters": parameters });
    if let Some(url) = &arguments.callback {
        let mut callback = json!({ "url": url });
        for (name, value) in [("profile", &arguments.profile), ("token", &arguments.token)] {
            if let Some(value) = value {
                callback[name] = value.as_str().into();
            }
        }
        body["callback"] = callback;
    }
    if let Some(reference) = &arguments.reference {
        body["reference"] = reference.as_str().into();
    }
    if let Some(deadline) = deadline {
        body["deadline"] = deadline.into();
    }
    for (name, value) in [
        ("regulation", &arguments.regulation),
        ("receivedAt", &arguments.received_at),
        ("timeZone", &arguments.time_zone),
        ("holidays", &arguments.holidays),
    ] {
        if let Some(value) = value {
            body["legal"][name] = value.as_str().into();
        }
    }
    Ok(body)
}

/// Reads the parameters of the file, and puts those of the command line over them.
fn parameters(arguments: &Submit) -> anyhow::Result<Map<String, Value>> {
    let mut parameters = match &arguments.parameters {
        Some(path) => of_file(path)?,
        None => Map::new(),
    };
    for text in &arguments.params {
        let (name, value) = parameter(text)?;
        parameters.insert(name, value);
    }
    Ok(parameters)
}

fn of_file(path: &Path) -> anyhow::Result<Map<String, Value>> {
    let name = path.display();
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.map_err(|error| Usage::error(format!("{name} cannot be read: {error}")))?;
    let read = serde_json::from_str::<Value>(&text);
    match read {
        Ok(Value::Object(parameters)) => Ok(parameters),
        Ok(_) => Err(Usage::error(format!("{name} must hold a JSON object"))),
        // The error names line and column, and no value.
        Err(error) => Err(Usage::error(format!(
            "{name} is not JSON: line {}, column {}",
            error.line(),
            error.column()
        ))),
    }
}

fn parameter(text: &str) -> anyhow::Result<(String, Value)> {
    let wrong = |rule: &str| {
        // What stands behind the name may be a secret.
        let name = text.split(['=', ':']).next().unwrap_or_default();
        Usage::error(format!("--param {}: {rule}", shown(name)))
    };
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| wrong("must be name=value, or name:=JSON"))?;
    let (name, value) = match name.strip_suffix(':') {
        Some(name) => {
            let value = serde_json::from_str(value);
            let rule = "what follows := must be JSON (text needs quotes, or = alone)";
            (name, value.map_err(|_| wrong(rule))?)
        }
        None => (name, Value::from(value)),
    };
    if name.is_empty() {
        return Err(wrong("must have a name"));
    }
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_text_or_json_and_its_mistakes_repeat_no_value() {
        for (text, name, value) in [
            ("teamId=42", "teamId", json!("42")),
            (
                "url=https://x/?a=b&sig=c:=d",
                "url",
                json!("https://x/?a=b&sig=c:=d"),
            ),
            ("count:=42", "count", json!(42)),
            (
                "schedule:={\"enabled\":true}",
                "schedule",
                json!({ "enabled": true }),
            ),
            ("empty=", "empty", json!("")),
        ] {
            assert_eq!(parameter(text).unwrap(), (name.to_owned(), value));
        }
        for text in ["canary", "=x", "a:=canary", "a:=", ":=1"] {
            let error = parameter(text).unwrap_err();
            assert!(error.is::<Usage>(), "{text}");
            assert!(text == "canary" || !error.to_string().contains("canary"));
        }
    }
}
