//! The function behind the HTTP API: parse → record → message → Graph → 202. HTTP API payload 2.0 and Function URLs.

use courier_aws::host::Host;
use courier_aws::http_event::{HttpAnswer, HttpEvent};
use courier_aws::{at_millisecond, clock, logging, settings};
use lambda_runtime::{Error, LambdaEvent, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logging::start(&settings::environment)?;
    let host = Host::start(settings::environment, clock()).await;
    let host = host.inspect_err(|error| tracing::error!(%error, "cannot start"))?;
    lambda_runtime::run(service_fn(|event| answer(&host, event))).await
}

async fn answer(host: &Host, event: LambdaEvent<HttpEvent>) -> Result<HttpAnswer, Error> {
    let ends_at = at_millisecond(event.context.deadline);
    let response = match event.payload.into_request() {
        Ok(request) => host.answer(request, ends_at).await,
        Err(problem) => problem.into_response(),
    };
    Ok(response.into())
}

#[cfg(test)]
mod tests {
    use courier_core::auth::signed;
    use courier_core::catalogue::Catalogue;
    use courier_core::config::Config;
    use courier_core::crypto::secret::Secret;
    use serde_json::{Value, json};

    use super::HttpEvent;

    const CONFIG: &str = r#"
        [graph.tenants.contoso]
        tenant_id = "t"
        client_id = "c"
        client_secret = "env:X"
        [clients.webhooks]
        tenant = "contoso"
        operations = ["team.schedule"]
        signed = { dialect = "standard-webhooks", secrets = ["env:WHSEC"] }
        [seal]
        key = "env:SEAL"
    "#;
    const BODY: &str = r#"{"operation":"team.schedule","parameters":{"teamId":"871dbd5c-3a6a-4392-bfe1-042452793a50","schedule":{"enabled":true,"timeZone":"Europe/Zürich ⌚"}}}"#;
    /// The same in base64, as the platform writes a body that it takes for no text.
    const ENCODED: &str = "eyJvcGVyYXRpb24iOiJ0ZWFtLnNjaGVkdWxlIiwicGFyYW1ldGVycyI6eyJ0ZWFtSWQiOiI4NzFkYmQ1Yy0zYTZhLTQzOTItYmZlMS0wNDI0NTI3OTNhNTAiLCJzY2hlZHVsZSI6eyJlbmFibGVkIjp0cnVlLCJ0aW1lWm9uZSI6IkV1cm9wZS9aw7xyaWNoIOKMmiJ9fX0=";

    fn event(body: &str, is_encoded: bool) -> Value {
        let text = include_str!("../../../events/function-url-export.json");
        let mut event: Value = serde_json::from_str(text).unwrap();
        event["headers"] = json!({
            "content-type": "application/json",
            "webhook-id": "msg_1",
            "webhook-timestamp": "1795291200",
            "webhook-signature": "v1,ofufwq3yOBrNX2qW+KKnfSHglkA63MlydDj6E3Z+fzQ=",
        });
        event["body"] = body.into();
        event["isBase64Encoded"] = is_encoded.into();
        event
    }

    /// The signature is of Python's hmac, over the bytes that the sender wrote.
    #[test]
    fn a_signed_body_arrives_as_it_was_signed() {
        let config = Config::parse(CONFIG, Catalogue::shipped(), &|reference| {
            let is_seal = format!("{reference:?}").contains("SEAL");
            Ok(Secret::new(if is_seal {
                "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
            } else {
                "whsec_bmV3LXNlY3JldC1mb3Itc2lnbmVkLXJlcXVlc3Rz"
            }))
        });
        let config = config.unwrap_or_else(|errors| panic!("{errors}"));
        let now = "2026-11-21T20:00:00Z".parse().unwrap();
        for (event, is_verified) in [
            (event(BODY, false), true),
            (event(ENCODED, true), true),
            (event(ENCODED, false), false),
            (event(&BODY.replace('ü', "u"), false), false),
        ] {
            let told = event.to_string();
            let event: HttpEvent = serde_json::from_value(event).unwrap();
            let request = event.into_request().unwrap();
            let verified = signed::verify(request.headers(), request.body(), &config.clients, now);
            assert_eq!(verified.is_ok(), is_verified, "{told}");
        }
    }
}
