//! Checks a request's AWS Signature Version 4, as AWS does: who sent it, and that nothing that was
//! signed was changed. Used by the RDS API; S3's own (with its streams) is checked by `s3s`.

use sha2::{Digest as _, Sha256};

/// How far a request's time may be from ours, in seconds.
const SKEW: i64 = 15 * 60;

/// A request as it came.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `POST`.
    pub method: &'a str,
    /// The path as it stood in the request line, without the query.
    pub path: &'a str,
    /// The query as it stood there, without the question mark; empty if there was none.
    pub query: &'a str,
    /// The headers, in any order and case.
    pub headers: &'a [(String, String)],
    /// The body.
    pub body: &'a [u8],
}

/// What is expected of it.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The access key that is known.
    pub access_key: &'a str,
    /// Its secret.
    pub secret_key: &'a str,
    /// The Region that the request must be signed for.
    pub region: &'a str,
    /// The service, such as `rds`.
    pub service: &'a str,
    /// What time it is, in seconds since 1970.
    pub now: i64,
}

/// Why a request is refused: AWS's error code and a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// AWS's code, such as `SignatureDoesNotMatch`.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
}

fn refuse<T>(code: &'static str, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { code, message: message.into() })
}

/// Whether the request was signed with the expected credentials, for this service and Region, now.
pub fn verify(request: &Request<'_>, expected: &Expected<'_>) -> Result<(), Refusal> {
    let Some(authorization) = header(request, "authorization") else {
        return refuse("MissingAuthenticationToken", "Request is missing Authentication Token");
    };
    let Some(fields) = authorization.strip_prefix("AWS4-HMAC-SHA256 ") else {
        return refuse("IncompleteSignature", "the algorithm is not AWS4-HMAC-SHA256");
    };
    let field = |name: &str| {
        fields.split(',').find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='))
    };
    let (Some(credential), Some(signed), Some(signature)) =
        (field("Credential"), field("SignedHeaders"), field("Signature"))
    else {
        return refuse("IncompleteSignature", "Credential, SignedHeaders or Signature is missing");
    };
    let [key, date, region, service, "aws4_request"] =
        credential.split('/').collect::<Vec<_>>()[..]
    else {
        return refuse("IncompleteSignature", "the credential's scope has another shape");
    };
    if key != expected.access_key {
        return refuse(
            "InvalidClientTokenId",
            "The security token included in the request is invalid.",
        );
    }
    if (region, service) != (expected.region, expected.service) {
        return refuse(
            "SignatureDoesNotMatch",
            format!("Credential should be scoped to {}/{}", expected.region, expected.service),
        );
    }
    let Some(time) = header(request, "x-amz-date") else {
        return refuse("IncompleteSignature", "x-amz-date is missing");
    };
    match seconds(time) {
        Some(at) if time.starts_with(date) && (at - expected.now).abs() <= SKEW => {}
        Some(_) => return refuse("RequestExpired", format!("Signature expired: {time}")),
        None => return refuse("IncompleteSignature", "x-amz-date has another shape"),
    }
    let signed: Vec<&str> = signed.split(';').collect();
    for must in ["host", "x-amz-date"] {
        if !signed.contains(&must) {
            return refuse("SignatureDoesNotMatch", format!("{must} must be signed"));
        }
    }
    let body = hex(&Sha256::digest(request.body));
    if header(request, "x-amz-content-sha256").is_some_and(|said| said != body) {
        return refuse("XAmzContentSHA256Mismatch", "the body isn't the one that was signed");
    }
    let canonical = canonical_request(request, &signed, &body);
    let scope = format!("{date}/{region}/{service}/aws4_request");
    let text = format!(
        "AWS4-HMAC-SHA256\n{time}\n{scope}\n{}",
        hex(&Sha256::digest(canonical.as_bytes()))
    );
    let mut signing = hmac(format!("AWS4{}", expected.secret_key).as_bytes(), date.as_bytes());
    for step in [region, service, "aws4_request"] {
        signing = hmac(&signing, step.as_bytes());
    }
    if hex(&hmac(&signing, text.as_bytes())) != signature {
        return refuse(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check your \
             AWS Secret Access Key and signing method.",
        );
    }
    Ok(())
}

fn header<'a>(request: &Request<'a>, name: &str) -> Option<&'a str> {
    request
        .headers
        .iter()
        .find(|(given, _)| given.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

fn canonical_request(request: &Request<'_>, signed: &[&str], body: &str) -> String {
    let path = if request.path.is_empty() { "/" } else { request.path };
    // Every service but S3 encodes the path a second time.
    let path: String = path
        .bytes()
        .map(|byte| match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect();
    let mut query: Vec<String> = request
        .query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| if pair.contains('=') { pair.to_string() } else { format!("{pair}=") })
        .collect();
    query.sort();
    let mut text = format!("{}\n{path}\n{}\n", request.method, query.join("&"));
    for name in signed {
        let values: Vec<String> = request
            .headers
            .iter()
            .filter(|(given, _)| given.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        text += &format!("{name}:{}\n", values.join(","));
    }
    text + "\n" + &signed.join(";") + "\n" + body
}

/// HMAC-SHA256 (RFC 2104).
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let mut inner = Sha256::new_with_prefix(block.map(|byte| byte ^ 0x36));
    inner.update(message);
    let mut outer = Sha256::new_with_prefix(block.map(|byte| byte ^ 0x5c));
    outer.update(inner.finalize());
    outer.finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Seconds since 1970 of `20150830T123600Z`.
fn seconds(time: &str) -> Option<i64> {
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", time).ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    // AWS's published example ("get-vanilla" and IAM's ListUsers in the SigV4 documentation).
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const KEY: &str = "AKIDEXAMPLE";

    fn list_users(signature: &str) -> Vec<(String, String)> {
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={KEY}/20150830/us-east-1/iam/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, Signature={signature}"
        );
        [
            ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("Host", "iam.amazonaws.com"),
            ("X-Amz-Date", "20150830T123600Z"),
            ("Authorization", &authorization),
        ]
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .to_vec()
    }

    fn check(
        headers: &[(String, String)],
        query: &str,
        body: &[u8],
        secret: &str,
        now: i64,
    ) -> Result<(), Refusal> {
        verify(
            &Request { method: "GET", path: "/", query, headers, body },
            &Expected {
                access_key: KEY,
                secret_key: secret,
                region: "us-east-1",
                service: "iam",
                now,
            },
        )
    }

    const SIGNATURE: &str = "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
    const QUERY: &str = "Action=ListUsers&Version=2010-05-08";
    const NOW: i64 = 1_440_938_160;

    #[test]
    fn the_published_example_passes() {
        assert_eq!(check(&list_users(SIGNATURE), QUERY, b"", SECRET, NOW + 60), Ok(()));
    }

    #[test]
    fn anything_else_is_refused() {
        let code = |result: Result<(), Refusal>| result.unwrap_err().code;
        let headers = list_users(SIGNATURE);
        assert_eq!(code(check(&headers, QUERY, b"", "another", NOW)), "SignatureDoesNotMatch");
        assert_eq!(
            code(check(&headers, "Action=DeleteUser", b"", SECRET, NOW)),
            "SignatureDoesNotMatch"
        );
        assert_eq!(code(check(&headers, QUERY, b"x", SECRET, NOW)), "SignatureDoesNotMatch");
        assert_eq!(code(check(&headers, QUERY, b"", SECRET, NOW + 901)), "RequestExpired");
        assert_eq!(
            code(check(&headers[..3], QUERY, b"", SECRET, NOW)),
            "MissingAuthenticationToken"
        );
        let mut other = headers.clone();
        other[1].1 = "elsewhere".into();
        assert_eq!(code(check(&other, QUERY, b"", SECRET, NOW)), "SignatureDoesNotMatch");
    }
}
