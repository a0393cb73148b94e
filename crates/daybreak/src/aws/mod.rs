//! S3 and RDS, as narrow as daybreak needs them. Only here are the AWS SDK's types known.
//!
//! Credentials are the SDK's own business (environment, profile, SSO, instance role): daybreak neither
//! reads nor prints them, and no error holds more than AWS's code, its message and the request's id.

pub mod error;
pub mod policy;
pub mod rds;
pub mod s3;

use std::time::Duration;

pub use aws_config::SdkConfig;
use aws_config::{
    BehaviorVersion, Region, retry::RetryConfig,
    stalled_stream_protection::StalledStreamProtectionConfig, timeout::TimeoutConfig,
};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

use crate::{
    config::AwsConfig,
    error::{Error, Kind, Result},
};

/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a request that moves no data may take, before it counts as lost.
const ATTEMPT: Duration = Duration::from_secs(60);
/// How long a body may stand still.
const STALL: Duration = Duration::from_secs(60);

/// Finds out where AWS is and as whom it is asked: what the configuration says, else what the SDK finds
/// in the environment, the profile, and the instance's role.
///
/// The endpoints of [`AwsConfig`] aren't in it, as they differ by service. Whoever makes a client sets
/// the one that is meant.
pub async fn sdk(config: &AwsConfig) -> Result<SdkConfig> {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ATTEMPT)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .retry_config(RetryConfig::standard().with_max_attempts(4))
        .timeout_config(timeouts)
        .stalled_stream_protection(
            StalledStreamProtectionConfig::enabled().grace_period(STALL).build(),
        );
    if let Some(region) = &config.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(file) = &config.credentials_file {
        loader = loader.profile_files(
            EnvConfigFiles::builder()
                .include_default_config_file(true)
                .with_file(EnvConfigFileKind::Credentials, file)
                .build(),
        );
    }
    if let Some(profile) = &config.profile {
        loader = loader.profile_name(profile);
    }
    let sdk = loader.load().await;
    if sdk.region().is_none() {
        return Err(Error::new(Kind::Config, "no AWS Region is known")
            .at("[aws]")
            .next("set region in [aws] (such as eu-central-1), --region, or AWS_REGION"));
    }
    Ok(sdk)
}
