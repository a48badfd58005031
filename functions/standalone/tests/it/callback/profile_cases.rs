//! One request for each shipped callback profile.

/// One profile with the client's callback table and the request's `callback` that make it work.
///
/// `{receiver}` stands for the receiver's origin.
pub(crate) struct Case {
    pub(crate) profile: &'static str,
    pub(super) settings: &'static str,
    pub(super) callback: &'static str,
    /// Status with which a receiver of this kind answers.
    pub(super) answers: u16,
}

impl Case {
    pub(crate) fn is_signed_for_aws(&self) -> bool {
        self.settings.contains("sigv4")
    }
}

pub(crate) const CASES: [Case; 15] = [
    Case {
        profile: "standard-webhooks",
        settings: "",
        callback: r#"{ "url": "{receiver}/hooks/graph" }"#,
        answers: 204,
    },
    Case {
        profile: "servicenow-scripted",
        settings: r#"
username = "graph.courier"
password = "env:RECEIVER_PASSWORD""#,
        callback: r#"{ "url": "{receiver}/as/api/x_dsar/graph" }"#,
        answers: 201,
    },
    Case {
        profile: "servicenow-hmac",
        settings: r#"
secrets = ["env:RECEIVER_HMAC"]"#,
        callback: r#"{ "url": "{receiver}/as/api/x_dsar/graph" }"#,
        answers: 200,
    },
    Case {
        profile: "servicenow-table",
        settings: r#"
username = "graph.courier"
password = "env:RECEIVER_PASSWORD""#,
        callback: r#"{ "url": "{receiver}/as/api/now/table/sc_req_item/9d385017c611228701d22104cc95c371" }"#,
        answers: 200,
    },
    Case {
        profile: "jira-automation",
        settings: r#"
token = "env:RECEIVER_TOKEN""#,
        callback: r#"{ "url": "{receiver}/as/automation/webhooks/jira/a/cloud/rule" }"#,
        answers: 200,
    },
    Case {
        profile: "zendesk",
        settings: r#"
username = "graph.courier@contoso.example/token"
password = "env:RECEIVER_PASSWORD""#,
        callback: r#"{ "url": "{receiver}/as/api/v2/tickets/35436.json" }"#,
        answers: 200,
    },
    Case {
        profile: "okta-workflows",
        settings: r#"
token = "env:RECEIVER_TOKEN""#,
        callback: r#"{ "url": "{receiver}/as/api/flo/7b1c/invoke" }"#,
        answers: 200,
    },
    Case {
        profile: "logic-apps",
        settings: "",
        callback: r#"{ "url": "{receiver}/as/workflows/8f2a/triggers/manual/paths/invoke?api-version=2016-10-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=canary-callback-token-_~%2B%2F" }"#,
        answers: 202,
    },
    Case {
        profile: "step-functions-task-token",
        settings: r#"
token = "env:RECEIVER_TOKEN""#,
        callback: r#"{ "url": "{receiver}/as/task", "token": "canary-callback-token+of/a=task" }"#,
        answers: 200,
    },
    Case {
        profile: "step-functions",
        settings: r#"
sigv4 = { region = "eu-central-1" }
[aws]
access_key_id = "env:AWS_KEY_ID"
secret_access_key = "env:AWS_KEY"
session_token = "env:AWS_SESSION""#,
        callback: r#"{ "url": "{receiver}", "token": "canary-callback-token+of/a=task" }"#,
        answers: 200,
    },
    Case {
        profile: "lambda-durable",
        settings: r#"
sigv4 = { region = "eu-central-1" }
[aws]
access_key_id = "env:AWS_KEY_ID"
secret_access_key = "env:AWS_KEY"
session_token = "env:AWS_SESSION""#,
        callback: r#"{ "url": "{receiver}", "token": "Y2FuYXJ5LWNhbGxiYWNr/WlkLXRva2Vu+A==" }"#,
        answers: 200,
    },
    Case {
        profile: "eventbridge",
        settings: r#"
target = "arn:aws:events:eu-central-1:123456789012:event-bus/privacy"
sigv4 = { region = "eu-central-1" }
[aws]
access_key_id = "env:AWS_KEY_ID"
secret_access_key = "env:AWS_KEY"
session_token = "env:AWS_SESSION""#,
        callback: r#"{ "url": "{receiver}" }"#,
        answers: 200,
    },
    Case {
        profile: "sqs",
        settings: r#"
target = "https://sqs.eu-central-1.amazonaws.com/123456789012/completions"
sigv4 = { region = "eu-central-1" }
[aws]
access_key_id = "env:AWS_KEY_ID"
secret_access_key = "env:AWS_KEY"
session_token = "env:AWS_SESSION""#,
        callback: r#"{ "url": "{receiver}" }"#,
        answers: 200,
    },
    Case {
        profile: "sns",
        settings: r#"
target = "arn:aws:sns:eu-central-1:123456789012:completions"
sigv4 = { region = "eu-central-1" }
[aws]
access_key_id = "env:AWS_KEY_ID"
secret_access_key = "env:AWS_KEY"
session_token = "env:AWS_SESSION""#,
        callback: r#"{ "url": "{receiver}" }"#,
        answers: 200,
    },
    Case {
        profile: "generic",
        settings: r#"
method = "PUT"
headers = { x-team = "privacy" }
body = '{ "ticket": "{{/data/reference}}", "text": "ended as {{/data/status}}", "all": "{{}}" }'
success = [200, 409]
secrets = ["env:RECEIVER_HMAC"]
[clients.tickets.callback.hmac]
header = "x-signature"
algorithm = "sha512"
prefix = "sha512=""#,
        callback: r#"{ "url": "{receiver}/as/anything" }"#,
        answers: 409,
    },
];
