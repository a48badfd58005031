//! `GetParameter` of Systems Manager, the only call made to it, on the crates that the AWS SDK's clients are built on:
//! compiling the SDK's own client would take longer than all the others together.
//!
//! Source: "AWS JSON 1.1 protocol", Smithy; "`GetParameter`", Systems Manager's API Reference.

use aws_config::SdkConfig;
use aws_runtime::auth::SigV4OperationSigningConfig;
use aws_runtime::auth::sigv4::{SCHEME_ID, SigV4AuthScheme};
use aws_runtime::retries::classifiers::AwsErrorCodeClassifier;
use aws_sdk_secretsmanager::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime::client::retries::classifiers::{
    HttpStatusCodeClassifier, TransientErrorClassifier,
};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::auth::AuthSchemeOptionResolverParams;
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::orchestrator::{
    HttpRequest, HttpResponse, OrchestratorError, SensitiveOutput,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::Layer;
use aws_smithy_types::error::ErrorMetadata;
use aws_types::service_config::ServiceConfigKey;
use courier_core::crypto::secret::Secret;
use serde_json::{Value, json};

/// Returns the decrypted value of a parameter, if it has one.
pub(crate) async fn get(sdk: &SdkConfig, name: &str) -> Result<Option<Secret>, BoxError> {
    let mut operation = Operation::builder()
        .service_name("SSM")
        .operation_name("GetParameter")
        .endpoint_url(&endpoint(sdk).await?)
        .http_client(sdk.http_client().ok_or("no HTTP client")?)
        .sleep_impl(sdk.sleep_impl().ok_or("no timer")?)
        .time_source(sdk.time_source().ok_or("no clock")?)
        .standard_retry(sdk.retry_config().ok_or("no retries")?)
        .timeout_config(sdk.timeout_config().ok_or("no time limits")?.clone())
        .retry_classifier(HttpStatusCodeClassifier::default())
        .retry_classifier(TransientErrorClassifier::<ErrorMetadata>::new())
        .retry_classifier(AwsErrorCodeClassifier::<ErrorMetadata>::new())
        .runtime_plugin(signed(sdk)?);
    if let Some(version) = sdk.behavior_version() {
        operation = operation.behavior_version(version);
    }
    let operation = operation.serializer(request).deserializer(answer).build();
    Ok(operation.invoke(name.to_owned()).await?)
}

/// Returns the configured endpoint, or the one of Secrets Manager under another name: both are in the same partitions.
async fn endpoint(sdk: &SdkConfig) -> Result<String, BoxError> {
    let key = ServiceConfigKey::builder()
        .service_id("SSM")
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()?;
    let own = sdk.service_config().and_then(|all| all.load_config(key));
    let params = Params::builder()
        .set_region(sdk.region().map(ToString::to_string))
        .set_use_fips(sdk.use_fips())
        .set_use_dual_stack(sdk.use_dual_stack())
        .set_endpoint(own.or_else(|| sdk.endpoint_url().map(ToOwned::to_owned)))
        .build()?;
    let endpoint = DefaultResolver::new().resolve_endpoint(&params).await?;
    let url = endpoint.url();
    // In GovCloud every endpoint of Systems Manager is a FIPS endpoint under its plain name.
    let ours = url.replacen("//secretsmanager-fips.us-gov-", "//ssm.us-gov-", 1);
    Ok(ours.replacen("//secretsmanager", "//ssm", 1))
}

/// Signs with the function's own credentials.
fn signed(sdk: &SdkConfig) -> Result<StaticRuntimePlugin, BoxError> {
    let credentials = sdk.credentials_provider().ok_or("no credentials")?;
    let region = sdk.region().ok_or("no region")?.clone();
    let mut config = Layer::new("GetParameter");
    // Without this the SDK would log the response at TRACE (which our log does not take).
    config.store_put(SensitiveOutput);
    config.store_put(AuthSchemeOptionResolverParams::new(()));
    config.store_put(SigV4OperationSigningConfig {
        region: Some(region.into()),
        name: Some("ssm".into()),
        ..Default::default()
    });
    let components = RuntimeComponentsBuilder::new("GetParameter")
        .with_auth_scheme(SigV4AuthScheme::new())
        .with_auth_scheme_option_resolver(Some(StaticAuthSchemeOptionResolver::new(vec![
            SCHEME_ID,
        ])))
        .with_identity_cache(Some(IdentityCache::no_cache()))
        .with_identity_resolver(SCHEME_ID, credentials);
    Ok(StaticRuntimePlugin::new()
        .with_config(config.freeze())
        .with_runtime_components(components))
}

fn request(name: String) -> Result<HttpRequest, BoxError> {
    let body = json!({ "Name": name, "WithDecryption": true });
    let request = http::Request::post("/")
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", "AmazonSSM.GetParameter")
        .body(SdkBody::from(body.to_string()))?;
    Ok(request.try_into()?)
}

fn answer(response: &HttpResponse) -> Result<Option<Secret>, OrchestratorError<ErrorMetadata>> {
    let body = response.body().bytes().unwrap_or_default();
    let body = serde_json::from_slice::<Value>(body);
    if response.status().is_success() {
        let body = body.map_err(|error| OrchestratorError::response(error.into()))?;
        return Ok(body["Parameter"]["Value"].as_str().map(Secret::new));
    }
    let body = body.unwrap_or_default();
    let mut error = ErrorMetadata::builder();
    let code = response.headers().get("x-amzn-errortype");
    if let Some(code) = body["__type"].as_str().or(code) {
        let code = code.split(':').next().unwrap_or_default();
        error = error.code(code.rsplit('#').next().unwrap_or_default());
    }
    let message = ["message", "Message"].map(|name| body[name].as_str());
    if let Some(message) = message.into_iter().flatten().next() {
        error = error.message(message);
    }
    Err(OrchestratorError::operation(error.build()))
}

#[cfg(test)]
mod tests {
    use aws_config::Region;
    use aws_types::service_config::LoadServiceConfig;

    use super::*;

    /// An environment with `AWS_ENDPOINT_URL_SSM`.
    #[derive(Debug)]
    struct Own;

    impl LoadServiceConfig for Own {
        fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
            let is_ours = (key.service_id(), key.env()) == ("SSM", "AWS_ENDPOINT_URL");
            is_ours.then(|| "https://vpce-1.example".to_owned())
        }
    }

    #[tokio::test]
    async fn the_endpoint_is_the_partitions_own_or_the_configured_one() {
        for (region, is_fips, expected) in [
            (
                "eu-central-1",
                false,
                "https://ssm.eu-central-1.amazonaws.com",
            ),
            (
                "us-east-1",
                true,
                "https://ssm-fips.us-east-1.amazonaws.com",
            ),
            (
                "cn-north-1",
                false,
                "https://ssm.cn-north-1.amazonaws.com.cn",
            ),
            (
                "us-gov-west-1",
                false,
                "https://ssm.us-gov-west-1.amazonaws.com",
            ),
            (
                "us-gov-west-1",
                true,
                "https://ssm.us-gov-west-1.amazonaws.com",
            ),
            (
                "us-iso-east-1",
                false,
                "https://ssm.us-iso-east-1.c2s.ic.gov",
            ),
        ] {
            let sdk = SdkConfig::builder()
                .region(Region::new(region))
                .use_fips(is_fips);
            let found = endpoint(&sdk.build()).await.unwrap();
            assert_eq!(found, expected);
        }
        let sdk = SdkConfig::builder()
            .region(Region::new("eu-central-1"))
            .endpoint_url("http://127.0.0.1:4566")
            .build();
        let found = endpoint(&sdk).await.unwrap();
        assert_eq!(found, "http://127.0.0.1:4566");
        let sdk = sdk.to_builder().service_config(Own).build();
        let found = endpoint(&sdk).await.unwrap();
        assert_eq!(found, "https://vpce-1.example");
        assert!(endpoint(&SdkConfig::builder().build()).await.is_err());
    }

    #[test]
    fn an_answer_is_the_parameter_or_an_error_with_its_code() {
        let read = |status: u16, body: &'static str| {
            let response = http::Response::builder().status(status);
            let response = response.body(SdkBody::from(body)).unwrap();
            answer(&response.try_into().unwrap())
        };
        let found = read(200, r#"{"Parameter":{"Name":"/a","Value":"canary"}}"#);
        assert_eq!(found.unwrap(), Some(Secret::new("canary")));
        assert_eq!(read(200, "{}").unwrap(), None);
        assert!(read(200, "<html>").unwrap_err().is_response_error());
        for (status, body, code) in [
            (
                400,
                r#"{"__type":"ParameterNotFound"}"#,
                Some("ParameterNotFound"),
            ),
            (
                400,
                r#"{"__type":"com.amazonaws.ssm#InvalidKeyId:http://x/"}"#,
                Some("InvalidKeyId"),
            ),
            (503, "<html>", None),
        ] {
            let error = read(status, body).unwrap_err();
            assert_eq!(error.as_operation_error().unwrap().code(), code, "{body}");
        }
    }
}
