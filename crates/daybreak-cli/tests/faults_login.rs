//! Neither server can be talked to: password, address, name, TLS. Each on both sides, each told before
//! anything is begun, and each mended by what the message says.

mod support;

use std::path::Path;

use support::{
    daybreak,
    faults::{Bench, Ended, Running, on},
    private, split,
};

/// An authority that signed no server's certificate.
const OTHER_CA: &str = "-----BEGIN CERTIFICATE-----
MIIBrTCCAVOgAwIBAgIUU0JzZaRbopjUzhaWrOK3K6ywJxgwCgYIKoZIzj0EAwIw
KzEpMCcGA1UEAwwgYW4gYXV0aG9yaXR5IHRoYXQgc2lnbmVkIG5vdGhpbmcwIBcN
MjYxMTIxMTExOTMwWhgPMjEyNjEwMjgxMTE5MzBaMCsxKTAnBgNVBAMMIGFuIGF1
dGhvcml0eSB0aGF0IHNpZ25lZCBub3RoaW5nMFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAEPro2sG2GmFMmAkbHLZTVNQhv/luT5j53AX0vtjxsqZliZU9lj2bjV3XG
3LcyeZzgWiLtXRH7au631lNTxwfmhKNTMFEwHQYDVR0OBBYEFE+bn99JyTRjLBkD
uPDee76o1kBgMB8GA1UdIwQYMBaAFE+bn99JyTRjLBkDuPDee76o1kBgMA8GA1Ud
EwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIhAMf9WO5HQ9GFTH2gxrLIWZpU
DhAf3J5N6a2Ys086muqAAiAQXZjQNdSCwEonpWMft+Xj1TqBpMhy9aaCiaK+xcRh
ew==
-----END CERTIFICATE-----
";

/// `run` with these servers, whose URLs hold no password.
async fn run_with(
    directory: &Path,
    source: &str,
    target: &str,
    passwords: [&str; 2],
    more: &[(&str, &str)],
) -> Ended {
    let mut command = daybreak(directory, &["run", "--until", "preflight"]);
    command.args(["--source", source, "--target", target]);
    command.env("DAYBREAK_SOURCE_PASSWORD", passwords[0]);
    command.env("DAYBREAK_TARGET_PASSWORD", passwords[1]);
    command.envs(more.iter().copied());
    Running::start(command).end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_talked_to_is_told_with_what_to_do() {
    let bench = Bench::start().await;
    let directory = tempfile::tempdir().unwrap();
    let (ca, no_ca) = (directory.path().join("other.pem"), directory.path().join("missing.pem"));
    private(&ca, OTHER_CA);
    let broken = directory.path().join("broken.pem");
    private(&broken, "this is no certificate\n");
    let (source, target) = bench.urls();
    let ((source, source_password), (target, target_password)) = (split(&source), split(&target));
    let (good, bad) = ([source_password.as_str(), target_password.as_str()], "Wrong-Passw0rd-1");

    for side in ["source", "target"] {
        let at_source = side == "source";
        let (own, link) = match at_source {
            true => (&source, &bench.source_link),
            false => (&target, &bench.target_link),
        };
        // What is tried: the URL, and what must be told of it.
        let cases: Vec<(&str, String, Vec<&str>)> = vec![
            (
                "a name that doesn't resolve",
                own.replace("127.0.0.1", "no-such-host.invalid"),
                vec!["name doesn't resolve", "no-such-host.invalid", "check the name"],
            ),
            (
                "an authority that didn't sign",
                format!("{own}?tls=verify-ca&ca={}", ca.display()),
                vec!["TLS could not be agreed on", "UnknownIssuer", "ca=FILE"],
            ),
            (
                "no file of an authority",
                format!("{own}?tls=verify-ca&ca={}", no_ca.display()),
                vec!["can't be read", "missing.pem", "PEM"],
            ),
            (
                "a file that holds no certificate",
                format!("{own}?tls=verify-ca&ca={}", broken.display()),
                vec!["holds no certificate", "broken.pem", "PEM"],
            ),
        ];
        for (why, url, words) in cases {
            let (source, target) = if at_source { (&url, &target) } else { (&source, &url) };
            let ended = run_with(directory.path(), source, target, good, &[]).await;
            println!("{side}, {why}");
            let code = if why.contains("file") { 2 } else { 1 };
            ended.told(code, &[&format!("{side} ")]);
            ended.told(code, &words);
            bench.keeps_secrets(directory.path(), &ended);
        }

        let passwords = if at_source { [bad, good[1]] } else { [good[0], bad] };
        let ended = run_with(directory.path(), &source, &target, passwords, &[]).await;
        let port = link.port().to_string();
        let wanted = ["the server refused the login", side, &port, "--target-password-file"];
        ended.told(1, &wanted);
        assert!(!ended.text.contains(bad), "{}", ended.text);

        link.refuse().await;
        let ended = run_with(directory.path(), &source, &target, good, &[]).await;
        ended.told(1, &["nothing listens there", side, &port, "check host and port"]);
        link.pass().await;

        link.blackhole();
        let hurry = [("DAYBREAK_SILENCE_MS", "1000")];
        let ended = run_with(directory.path(), &source, &target, good, &hurry).await;
        ended.told(1, &["no answer within 1 s", side, &port, "firewall"]);
        link.pass().await;

        // The server insists on TLS, which is off for a loopback address.
        let root = match at_source {
            true => bench.pair.source.root_url(),
            false => bench.pair.target.root_url(),
        };
        let mut conn = support::connect(&root).await;
        use mysql_async::prelude::Queryable as _;
        conn.query_drop("SET GLOBAL require_secure_transport = ON").await.unwrap();
        let ended = run_with(directory.path(), &source, &target, good, &[]).await;
        ended.told(1, &["the server wants TLS", side, &port, "tls=required"]);
        // As the message says.
        let url = format!("{own}?tls=required");
        let (from, to) = if at_source { (&url, &target) } else { (&source, &url) };
        let mut assess = daybreak(directory.path(), &["assess"]);
        assess.args(["--source", from, "--target", to]);
        assess.env("DAYBREAK_SOURCE_PASSWORD", good[0]).env("DAYBREAK_TARGET_PASSWORD", good[1]);
        let ended = Running::start(assess).end().await;
        // What replication needs then is another matter, and told as well.
        let (code, finding) =
            if at_source { (3, "source.require_secure_transport") } else { (0, "0 blockers") };
        assert_eq!(ended.code(), Some(code), "{}", ended.text);
        assert!(ended.text.contains(finding), "{}", ended.text);
        conn.query_drop("SET GLOBAL require_secure_transport = OFF").await.unwrap();
    }
    assert!(!directory.path().join("daybreak.toml").exists(), "something was begun");

    let ended = run_with(directory.path(), &source, &target, good, &[]).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);
    let mut resume = daybreak(directory.path(), &["resume", "--yes"]);
    resume.env("DAYBREAK_SOURCE_PASSWORD", good[0]).env("DAYBREAK_TARGET_PASSWORD", good[1]);
    let ended = Running::start(resume).end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.text);
    bench.pair.assert_equal("in the directory of all those failures");
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_offer_no_tls_are_named() {
    let bench = Bench::start_with(|_, options| options.arg("--tls-version=")).await;
    let directory = tempfile::tempdir().unwrap();
    let (source, target) = bench.urls();
    let ((source, source_password), (target, target_password)) = (split(&source), split(&target));
    let good = [source_password.as_str(), target_password.as_str()];
    // Without TLS this way of logging in wants the server's key once; then the server remembers.
    on(&bench.pair.source.root_url(), &["DO 1"]).await;
    for side in ["source", "target"] {
        let url = |own: &str, of: &str| match of == side {
            true => format!("{own}?tls=required"),
            false => own.to_string(),
        };
        let (from, to) = (url(&source, "source"), url(&target, "target"));
        let ended = run_with(directory.path(), &from, &to, good, &[]).await;
        ended.told(1, &["the server offers no TLS", &format!("{side} "), "tls=off"]);
        bench.keeps_secrets(directory.path(), &ended);
    }
}
