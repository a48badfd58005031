//! What all AWS calls share: trusted roots, one HTTP client, region and credentials of the function, and timeouts.

use std::time::Duration;

use aws_config::environment::{
    EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider,
};
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use courier_core::outbound::certificates::{self, CertificatesError};
use courier_core::outbound::{self, Timeouts, Tls};
use rustls::RootCertStore;

use crate::http_client::SharedClient;

/// Timeouts of one attempt of an AWS call, and of all attempts together.
///
/// Together they are less than the rest of a request's time when the store hangs.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(8);

/// An error of the certificates to trust.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error(transparent)]
    Certificates(#[from] CertificatesError),
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// Returns Mozilla's roots, which are compiled in: parsing the machine's would be two thirds of a cold start.
///
/// If the environment names certificates, returns those instead.
pub(crate) fn tls(variable: &dyn Fn(&str) -> Option<String>) -> Result<Tls, TlsError> {
    let roots = certificates::named(variable)?.unwrap_or_else(|| RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    });
    Ok(Some(certificates::trusting(roots)?))
}

/// Takes region and credentials from the function's environment, and endpoints from `AWS_ENDPOINT_URL*` if set.
pub(crate) async fn sdk(tls: &Tls) -> reqwest::Result<SdkConfig> {
    let timeouts = Timeouts {
        connect: Duration::from_secs(2),
        ..Timeouts::default()
    };
    let retries = RetryConfig::standard()
        .with_max_attempts(3)
        .with_initial_backoff(Duration::from_millis(100));
    let limits = TimeoutConfig::builder()
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build();
    Ok(aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(SharedClient(outbound::pooled(&timeouts, tls)?))
        .credentials_provider(EnvironmentVariableCredentialsProvider::new())
        .region(EnvironmentVariableRegionProvider::new())
        .retry_config(retries)
        .timeout_config(limits)
        .load()
        .await)
}
