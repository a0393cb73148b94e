//! AWS behind narrow traits.

pub mod rds;

use crate::{config::AwsConfig, error::Result};

/// What the SDK finds out about credentials, Region and HTTP.
///
/// # Errors
/// None today: what is missing is said when a call is made.
pub async fn sdk(config: &AwsConfig) -> Result<aws_config::SdkConfig> {
    use aws_smithy_http_client::{Builder, tls};
    let http = Builder::new()
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
        .build_https();
    let mut loader = aws_config::defaults(aws_config::BehaviorVersion::latest()).http_client(http);
    if let Some(region) = &config.region {
        loader = loader.region(aws_config::Region::new(region.clone()));
    }
    if let Some(profile) = &config.profile {
        loader = loader.profile_name(profile);
    }
    Ok(loader.load().await)
}
