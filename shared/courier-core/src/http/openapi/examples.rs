//! The examples of bodies in the OpenAPI document: one person's export, as it is asked for, while it runs, and when it has ended.

use serde_json::{Value, json};

const PERSON: &str = "6e7b768e-07e2-4810-8459-485f84f8f204";
const CONTAINER: &str =
    "https://contosodsar.blob.core.windows.net/op-4534d7c6b0ccb7ffbbddd011c2fca8cc";

/// Returns the body of the request.
pub(super) fn request() -> Value {
    json!({
        "operation": "user.exportPersonalData",
        "parameters": { "userId": PERSON, "storage": "dsar-eu" },
        "callback": { "url": "https://contoso.service-now.com/api/x_dsar/graph" },
        "reference": "RITM0012345",
    })
}

/// Returns the operation while the job runs.
pub(super) fn running() -> Value {
    json!({
        "id": "op_4534d7c6b0ccb7ffbbddd011c2fca8cc",
        "operation": "user.exportPersonalData",
        "status": "running",
        "reason": null,
        "reference": "RITM0012345",
        "createdAt": "2026-11-21T20:00:00.000Z",
        "startedAt": "2026-11-21T20:00:01.250Z",
        "endedAt": null,
        "deadline": "2026-12-22T20:00:00.000Z",
        "adopted": false,
        "graph": {
            "status": "running",
            "progress": 0.4,
            "clientRequestId": "0f8fad5b-d9cb-469f-a165-70867728950e",
            "requestId": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
            "polls": 7,
            "nextPollAt": "2026-11-21T21:10:00.000Z",
        },
        "result": null,
        "error": null,
        "callback": {
            "status": "pending",
            "attempts": 0,
            "lastStatus": null,
            "nextAttemptAt": null,
            "origin": "https://contoso.service-now.com",
            "profile": "servicenow-scripted",
            "eventId": null,
        },
    })
}

/// Returns the operation when it has succeeded and its receiver has been told.
pub(super) fn succeeded() -> Value {
    let mut operation = completed();
    let mut callback = running()["callback"].take();
    callback["status"] = "delivered".into();
    callback["attempts"] = 1.into();
    callback["lastStatus"] = 200.into();
    callback["eventId"] = "msg_4534d7c6b0ccb7ffbbddd011c2fca8cc_succeeded".into();
    operation["callback"] = callback;
    operation
}

/// Returns the body of the completion.
pub(super) fn completion() -> Value {
    json!({
        "type": "operation.succeeded",
        "timestamp": "2026-12-12T20:00:00.000Z",
        "data": completed(),
    })
}

/// Returns the operation as it is frozen: without what becomes of the callback.
fn completed() -> Value {
    let mut operation = running();
    operation["status"] = "succeeded".into();
    operation["endedAt"] = "2026-12-12T20:00:00.000Z".into();
    operation["graph"]["status"] = "complete".into();
    operation["graph"]["progress"] = 1.0.into();
    operation["graph"]["nextPollAt"] = Value::Null;
    operation["evidence"] = json!({
        "head": "sha256:0a1f6d4c2b7e98350a1f6d4c2b7e98350a1f6d4c2b7e98350a1f6d4c2b7e9835",
    });
    operation["result"] =
        json!({ "storageLocation": CONTAINER, "completedAt": "2026-12-12T19:58:21Z" });
    if let Some(fields) = operation.as_object_mut() {
        fields.remove("callback");
    }
    operation
}
