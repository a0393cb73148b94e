//! What AWS's errors mean for us: come back later, or what a person has to change.

use std::error::Error as StdError;

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};

use crate::error::{Error, Kind};

/// The header by which S3 says where a bucket is, on errors too.
const BUCKET_REGION: &str = "x-amz-bucket-region";

/// Codes that mean: the same request later. A digest that doesn't match is one of them, since what was
/// sent was computed from the same bytes as the digest: they were damaged on the way.
const BUSY: &[&str] = &[
    "SlowDown",
    "ServiceUnavailable",
    "InternalError",
    "InternalFailure",
    "RequestTimeout",
    "RequestTimeoutException",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "TooManyRequestsException",
    "OperationAborted",
    "BadDigest",
    "XAmzContentSHA256Mismatch",
    "IncompleteBody",
    "PriorRequestNotComplete",
];

/// Codes that mean: the caller may not.
const DENIED: &[&str] = &[
    "AccessDenied",
    "AccessDeniedException",
    "AccessDeniedFault",
    "UnauthorizedOperation",
    "NotAuthorized",
    "AllAccessDisabled",
];

/// What AWS said, without the SDK's types.
struct Said {
    status: u16,
    code: String,
    message: String,
    /// The Region that the answer names.
    region: Option<String>,
    request: Option<String>,
}

/// An error of the SDK as one of ours. `what` is one clause that says what failed.
pub fn failure<E>(error: SdkError<E, HttpResponse>, what: impl Into<String>) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let what = what.into();
    match error {
        SdkError::ServiceError(context) => {
            let raw = context.raw();
            let header = |name: &str| raw.headers().get(name).map(str::to_string);
            let meta = context.err().meta();
            let request = header("x-amz-request-id").or_else(|| header("x-amzn-requestid"));
            answered(
                what,
                Said {
                    status: raw.status().as_u16(),
                    code: meta.code().unwrap_or_default().to_string(),
                    message: meta.message().unwrap_or_default().to_string(),
                    region: header(BUCKET_REGION),
                    request,
                },
            )
        }
        SdkError::TimeoutError(_) => {
            Error::new(Kind::AwsBusy, what).because("AWS didn't answer in time")
        }
        SdkError::DispatchFailure(failure) => {
            let words = failure.as_connector_error().map(|error| chain(error)).unwrap_or_default();
            undelivered(what, words)
        }
        SdkError::ResponseError(context) => Error::new(Kind::AwsBusy, what).because(format!(
            "the answer was cut off or isn't AWS's (HTTP {})",
            context.raw().status().as_u16()
        )),
        SdkError::ConstructionFailure(_) => {
            let words = chain(&error);
            undelivered(what, words)
        }
        other => Error::new(Kind::Aws, what).because(chain(&other)),
    }
}

/// The HTTP status of an error, when AWS answered at all.
pub fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|raw| raw.status().as_u16())
}

/// Everything that an error says, outermost first.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut words = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if words.last() != Some(&text) {
            words.push(text);
        }
        next = error.source();
    }
    words.join(": ")
}

/// The request never got to AWS.
fn undelivered(what: String, words: String) -> Error {
    let lower = words.to_lowercase();
    if lower.contains("credential") {
        return Error::new(Kind::Aws, what)
            .because(format!("no AWS credentials could be had: {words}"))
            .next(
                "give credentials as for the AWS CLI: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a \
                 profile ([aws] profile), `aws sso login`, or the instance's role",
            );
    }
    if lower.contains("certificate") || lower.contains("tls") && lower.contains("handshake") {
        return Error::new(Kind::Tls, what).because(words).next(
            "let this machine trust the endpoint's certificate (the system's certificate store, or \
             SSL_CERT_FILE)",
        );
    }
    if lower.contains("failed to construct request")
        || lower.contains("endpoint") && lower.contains("resolv")
    {
        return Error::new(Kind::Aws, what)
            .because(words)
            .next("check region and endpoints in [aws]");
    }
    let words = if words.is_empty() { "AWS could not be reached".into() } else { words };
    // As the HTTP client words it: no connection came to be (refused, unknown host, no answer), or one
    // that was there was cut.
    let never = lower.contains("(connect)") || lower.contains("connect timeout");
    let kind = if never { Kind::AwsUnreachable } else { Kind::AwsBusy };
    Error::new(kind, what).because(words)
}

fn answered(what: String, said: Said) -> Error {
    let kind = if said.status >= 500 || said.status == 429 || BUSY.contains(&said.code.as_str()) {
        Kind::AwsBusy
    } else if DENIED.contains(&said.code.as_str()) {
        Kind::AwsDenied
    } else {
        Kind::Aws
    };
    let code = match said.code.as_str() {
        "" => format!("HTTP {}", said.status),
        code => code.to_string(),
    };
    let mut words = code.clone();
    if !said.message.is_empty() {
        words += &format!(": {}", said.message);
    }
    if let Some(request) = &said.request {
        words += &format!(" (request {request})");
    }
    let error = Error::new(kind, what).because(words);
    match next_step(&code, &said) {
        Some(next) => error.next(next),
        None => error,
    }
}

fn next_step(code: &str, said: &Said) -> Option<String> {
    let about_kms = code.starts_with("KMS.") || said.message.contains("kms:");
    let fixed = match code {
        _ if about_kms => {
            "let the caller use the KMS key: kms:GenerateDataKey and kms:Decrypt in the key's policy or an \
             IAM policy (kms:Decrypt for the ingestion role too), and look whether the key is enabled and \
             in the bucket's Region; or choose another encryption in [staging]"
        }
        "NoSuchBucket" => {
            "check the bucket's name and whose account it is in; a bucket that was deleted has to be made \
             again, in the cluster's Region"
        }
        "PermanentRedirect"
        | "AuthorizationHeaderMalformed"
        | "TemporaryRedirect"
        | "IllegalLocationConstraintException"
        | "HTTP 301"
        | "HTTP 307" => {
            let region = said.region.clone().or_else(|| named_region(&said.message));
            return Some(match region {
                Some(region) => format!(
                    "the bucket is in {region}: set region = \"{region}\" in [aws] (or --region); Aurora \
                     restores only from a bucket in the cluster's own Region"
                ),
                None => "set region in [aws] (or --region) to the bucket's: \
                         `aws s3api get-bucket-location` tells it"
                    .into(),
            });
        }
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" | "TokenRefreshRequired" => {
            "the credentials have expired: get new ones (`aws sso login`, or the role again), then the same \
             command goes on from here"
        }
        "InvalidToken"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "InvalidAccessKeyId" => {
            "AWS doesn't know these credentials: check the access key, the session token that belongs to \
             it, and the profile in [aws]"
        }
        "SignatureDoesNotMatch" => {
            "the secret key doesn't belong to the access key, or something on the way changes the request: \
             check both, and proxies"
        }
        "RequestTimeTooSkewed" => {
            "this machine's clock is off by more than AWS takes: set it (chrony, timedatectl), then the \
             same command again"
        }
        _ if DENIED.contains(&code) => "allow the caller what AWS names above",
        "NoSuchUpload" => {
            "the upload was aborted meanwhile (by a lifecycle rule of the bucket, or by someone); the same \
             command begins that object again"
        }
        _ if said.status == 403 => "check the credentials, and what they are allowed",
        "NotFound" | "HTTP 404" => "check the names of the bucket and of what was asked for",
        _ => return None,
    };
    Some(fixed.into())
}

/// The Region in `the region 'us-east-1' is wrong; expecting 'eu-west-1'`.
fn named_region(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("expecting '")?;
    rest.split_once('\'').map(|(region, _)| region.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, code: &str, message: &str) -> Error {
        let said = Said {
            status,
            code: code.into(),
            message: message.into(),
            region: None,
            request: Some("R1".into()),
        };
        answered("the part could not be sent".into(), said)
    }

    #[test]
    fn what_passes_is_told_from_what_does_not() {
        for (status, code) in
            [(503, "SlowDown"), (500, "InternalError"), (400, "RequestTimeout"), (502, "")]
        {
            assert_eq!(said(status, code, "").kind(), Kind::AwsBusy, "{code}");
        }
        for (status, code) in
            [(403, "AccessDenied"), (404, "NoSuchBucket"), (403, ""), (400, "ExpiredToken")]
        {
            let error = said(status, code, "");
            let denied = code == "AccessDenied";
            let kind = if denied { Kind::AwsDenied } else { Kind::Aws };
            assert_eq!(error.kind(), kind, "{code}");
            assert!(error.next_step().is_some(), "{code} {status}");
        }
    }

    #[test]
    fn the_right_region_is_named() {
        let error = said(
            400,
            "AuthorizationHeaderMalformed",
            "the region 'us-east-1' is wrong; expecting 'eu-west-1'",
        );
        assert!(error.next_step().unwrap().contains("region = \"eu-west-1\""));
    }

    #[test]
    fn a_denied_key_is_not_a_denied_bucket() {
        let error = said(403, "AccessDenied", "not authorized to perform: kms:GenerateDataKey");
        assert!(error.next_step().unwrap().contains("KMS key"));
        assert_eq!(
            error.to_string().lines().next().unwrap(),
            "the part could not be sent: AccessDenied: not authorized to perform: kms:GenerateDataKey (request R1)"
        );
    }

    #[test]
    fn without_credentials_it_says_where_they_come_from() {
        let error = undelivered(
            "x".into(),
            "dispatch failure: the credential provider was not enabled".into(),
        );
        assert_eq!(error.kind(), Kind::Aws);
        assert!(error.next_step().unwrap().contains("AWS_ACCESS_KEY_ID"));
        let kind = |words: &str| undelivered("x".into(), words.into()).kind();
        assert_eq!(kind("io error: connection reset by peer"), Kind::AwsBusy);
        for words in [
            "client error (Connect): tcp connect error: Connection refused",
            "client error (Connect): dns error: failed to lookup address information",
            "timeout: HTTP connect timeout occurred after 10s",
        ] {
            assert_eq!(kind(words), Kind::AwsUnreachable, "{words}");
        }
    }
}
