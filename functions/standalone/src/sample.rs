//! An example of a completion, signed and sent like a real one: for trying out a receiver.

use std::time::Duration;

use courier_core::crypto::webhook_signature::{SigningSecret, sign};
use courier_core::operation::Hash;
use courier_core::profile::{Profile, Signature, written};
use courier_core::time::milliseconds;
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// Where the example comes from, as `ce-source` says.
const SOURCE: &str = "urn:graph-courier:example";
/// The longest wait for a receiver's answer, as in production.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(15);

/// An example of a completion.
pub(crate) struct Sample {
    pub(crate) event_id: String,
    id: String,
    kind: String,
    ended_at: Timestamp,
    pub(crate) completion: Value,
}

impl Sample {
    /// Makes the completion of an operation that ended now with this status; `digits` are those of its id.
    pub(crate) fn new(status: &str, reference: &str, digits: &str, now: Timestamp) -> Self {
        let (reason, result, error) = outcome(status);
        let id = format!("op_{digits}");
        let kind = format!("operation.{status}");
        let before = |seconds| milliseconds(now - SignedDuration::from_secs(seconds));
        let completion = json!({
            "type": kind,
            "timestamp": milliseconds(now),
            "data": {
                "id": id,
                "operation": "team.schedule",
                "status": status,
                "reason": reason,
                "reference": reference,
                "createdAt": before(31),
                "startedAt": before(30),
                "endedAt": milliseconds(now),
                "deadline": milliseconds(now + SignedDuration::from_secs(3_569)),
                "adopted": false,
                "graph": {
                    "status": if error.is_null() { "Completed" } else { "Failed" },
                    "progress": null,
                    "clientRequestId": "00000000-0000-0000-0000-000000000001",
                    "requestId": "00000000-0000-0000-0000-000000000002",
                    "polls": 3,
                    "nextPollAt": null,
                },
                "result": result,
                "error": error,
                "evidence": { "head": Hash::of(id.as_bytes()) },
            },
        });
        Self {
            event_id: format!("msg_{digits}_{status}"),
            id,
            kind,
            ended_at: now,
            completion,
        }
    }

    /// Returns the body in a profile's form.
    pub(crate) fn body(&self, profile: &Profile) -> Vec<u8> {
        let body = profile
            .body
            .as_ref()
            .map(|template| template.render(&self.completion));
        let body = body.as_ref().unwrap_or(&self.completion);
        written(body, profile.is_form()).into_bytes()
    }

    /// Returns the headers of a delivery now, with a signature of each secret.
    pub(crate) fn headers(
        &self,
        profile: &Profile,
        secrets: &[SigningSecret],
        body: &[u8],
        now: Timestamp,
    ) -> anyhow::Result<HeaderMap> {
        let mut fields = vec![
            ("content-type", profile.content_type.clone()),
            ("webhook-id", self.event_id.clone()),
            ("webhook-timestamp", now.as_second().to_string()),
        ];
        for (name, value) in &profile.headers {
            fields.push((name, value.clone()));
        }
        if profile.signature != Signature::None {
            let signature = sign(secrets, &self.event_id, now, body);
            fields.extend([
                ("webhook-signature", signature),
                ("ce-specversion", "1.0".to_owned()),
                ("ce-id", self.event_id.clone()),
                ("ce-type", self.kind.clone()),
                ("ce-source", SOURCE.to_owned()),
                ("ce-subject", self.id.clone()),
                ("ce-time", milliseconds(self.ended_at)),
            ]);
        }
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes())?;
            headers.insert(name, HeaderValue::from_str(&value)?);
        }
        Ok(headers)
    }
}

/// Returns reason, result and error of an operation that ended so.
fn outcome(status: &str) -> (Value, Value, Value) {
    let result = json!({
        "scheduleId": "871dbd5c-3a6a-4392-bfe1-042452793a50",
        "provisionStatus": "Completed",
        "enabled": true,
        "timeZone": "America/Chicago",
    });
    let error = json!({ "code": "ExampleError", "message": "An example of what Graph says" });
    match status {
        "succeeded" | "partiallySucceeded" => (Value::Null, result, Value::Null),
        "failed" => ("operation_failed".into(), Value::Null, error),
        "expired" => ("deadline_passed".into(), Value::Null, Value::Null),
        "cancelled" => ("cancelled_by_caller".into(), Value::Null, Value::Null),
        _ => ("start_outcome_unknown".into(), Value::Null, Value::Null),
    }
}

#[cfg(test)]
mod tests {
    use courier_core::operation::Outcome;

    use super::*;

    fn names(value: &Value) -> Vec<&str> {
        value
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect()
    }

    #[test]
    fn an_example_has_the_fields_of_a_real_completion_in_their_order() {
        let golden = include_str!("../../../docs/callers/golden/standard-webhooks.http");
        let golden: Value =
            serde_json::from_str(golden.trim_end().lines().last().unwrap()).unwrap();
        let sample = Sample::new("succeeded", "r", &"ab".repeat(16), Timestamp::UNIX_EPOCH);
        let made = &sample.completion;
        assert_eq!(names(made), names(&golden));
        assert_eq!(names(&made["data"]), names(&golden["data"]));
        assert_eq!(
            names(&made["data"]["graph"]),
            names(&golden["data"]["graph"])
        );
        for outcome in Outcome::ALL {
            let sample = Sample::new(outcome.as_str(), "r", "00", Timestamp::UNIX_EPOCH);
            let kind = format!("operation.{}", outcome.as_str());
            assert_eq!(sample.completion["type"], kind.as_str());
        }
    }
}
