//! An endpoint that is slow, refuses, cuts off, or isn't what it should be.

use std::{fs, time::Duration};

use super::stage::{BUCKET, PLACE, Stage, said, seed};

/// Runs it, expects a failure, and looks for words of its message.
async fn fails(stage: &Stage, arguments: &[&str], code: i32, words: &[&str]) {
    let output = stage.run(arguments).await;
    let text = said(&output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is missing in:\n{text}");
    }
    assert!(text.contains("next:"), "no next step in:\n{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_downs_and_resets_are_outlasted() {
    let stage = Stage::new().await;
    stage.write_backup(40, seed());
    let backup = stage.backup.to_str().unwrap();
    stage.cloud.faults(|faults| {
        faults.slow_down_every = Some(3);
        faults.resets = 4;
        faults.reset_after = 7 << 20;
        faults.delay = Some(Duration::from_millis(5));
    });
    stage.done(&[backup, PLACE, "--as", "tar.gz"]).await;
    stage.assert_tar_is_backup();
    assert!(stage.cloud.refused() > 0, "no part was refused");
    stage.cloud.faults(|faults| assert_eq!(faults.resets, 0, "connections were not reset"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_region_is_named() {
    let stage = Stage::new().await;
    stage.write_backup(1, seed());
    let backup = stage.backup.to_str().unwrap();
    stage.cloud.faults(|faults| faults.elsewhere = Some("us-west-2".into()));
    fails(&stage, &[backup, PLACE], 1, &["region = \"us-west-2\""]).await;
    assert_eq!(stage.cloud.received(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_may_not_be_used() {
    let stage = Stage::new().await;
    stage.write_backup(1, seed());
    let backup = stage.backup.to_str().unwrap();
    stage.cloud.faults(|faults| faults.denied_kms_keys = vec!["1234".into()]);
    let words = [
        "kms:GenerateDataKey",
        "ingestion role",
        "UploadKey",
        &format!("arn:aws:kms:{}:*:key/1234", stage.cloud.region),
    ];
    fails(&stage, &[backup, PLACE, "--encryption", "kms:1234"], 3, &words).await;
    // Another way for the same prefix is refused while the manifest says how it was begun.
    fails(&stage, &[backup, PLACE], 1, &["in another way"]).await;
    stage.cloud.faults(|faults| faults.denied_kms_keys.clear());
    stage.done(&[backup, PLACE, "--encryption", "kms:1234"]).await;
    stage.assert_tree_is_backup();
    let manifest = fs::read_to_string(stage.backup.join(".daybreak-upload.json")).unwrap();
    assert!(manifest.contains("key/1234"), "{manifest}");
}

/// Whoever may not is told what would do: the answer to HEAD has no words of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_may_nothing() {
    let stage = Stage::new().await;
    stage.write_backup(1, seed());
    stage.cloud.faults(|faults| faults.denied = true);
    let backup = stage.backup.to_str().unwrap();
    let words = [
        "AccessDenied",
        "user/operator",
        "s3:ListMultipartUploadParts",
        "arn:aws:s3:::backups/shop/full/*",
    ];
    fails(&stage, &[backup, PLACE], 3, &words).await;
    assert_eq!(stage.cloud.received(), []);
    // Reading takes less.
    let output = stage.end(stage.other(&["backup", "inspect", PLACE]).spawn().unwrap()).await;
    let text = said(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("s3:GetObject") && !text.contains("s3:PutObject"), "{text}");
}

/// Later requests are patient; the first one finds an address that is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_where_nothing_is() {
    let mut stage = Stage::new().await;
    stage.write_backup(1, seed());
    let backup = stage.backup.to_str().unwrap().to_string();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let refusing = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for endpoint in [refusing, "http://no-such-host.invalid:1".into()] {
        stage.cloud.s3_endpoint = endpoint;
        let output = stage.run(&[&backup, PLACE]).await;
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("endpoint_s3") && text.contains("--endpoint-s3"), "{text}");
        assert!(!text.contains("of 14"), "it was tried for minutes: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_default_that_aurora_cannot_read() {
    let stage = Stage::new().await;
    stage.write_backup(1, seed());
    let backup = stage.backup.to_str().unwrap();
    stage.cloud.faults(|faults| faults.default_encryption = Some("aws:kms:dsse".into()));
    fails(&stage, &[backup, PLACE], 3, &["aws:kms:dsse", "--encryption"]).await;
    stage.done(&[backup, PLACE, "--encryption", "s3"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_vanishes_and_comes_back() {
    let stage = Stage::new().await;
    stage.write_backup(30, seed());
    let backup = stage.backup.to_str().unwrap();
    let arguments = [backup, PLACE, "--uploads", "1"];
    stage.cloud.faults(|faults| faults.delay = Some(Duration::from_millis(50)));
    let mut child = stage.start(&arguments);
    stage.until_received(&mut child, 2).await;
    stage.cloud.faults(|faults| faults.vanished = true);
    let output = stage.end(child).await;
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("NoSuchBucket") && text.contains("next:"), "{text}");
    fails(&stage, &arguments, 1, &["there is no such bucket"]).await;
    stage.cloud.faults(|faults| faults.vanished = false);
    stage.done(&arguments).await;
    stage.assert_tree_is_backup();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_have_there_is_not_touched() {
    let stage = Stage::new().await;
    stage.write_backup(1, seed());
    let backup = stage.backup.to_str().unwrap();
    let other = stage.objects().join("of-someone");
    fs::create_dir_all(stage.objects()).unwrap();
    fs::write(&other, "theirs").unwrap();
    fails(&stage, &[backup, PLACE], 3, &["shop/full/of-someone", "empty prefix"]).await;
    assert_eq!(stage.cloud.received(), []);
    fs::remove_file(&other).unwrap();
    // One that only begins alike is pointed out.
    fs::write(stage.cloud.bucket(BUCKET).join("shop/full2"), "beside").unwrap();
    let text = stage.done(&[backup, PLACE]).await;
    assert!(text.contains("shop/full2") && text.contains("shop/full/"), "{text}");
    // What came later is noticed; so is what was changed or lost.
    fs::write(&other, "theirs").unwrap();
    fails(&stage, &[backup, PLACE], 3, &["of-someone wasn't sent"]).await;
    fs::remove_file(&other).unwrap();
    // What was lost is sent again, and only that.
    fs::remove_file(stage.objects().join("ibdata1")).unwrap();
    fs::write(stage.objects().join("shop/t1.ibd"), "of another size").unwrap();
    let sent = stage.cloud.received().len();
    let text = stage.done(&[backup, PLACE]).await;
    assert!(text.contains("is sent again"), "{text}");
    assert_eq!(stage.cloud.received().len(), sent + 2, "{:?}", stage.cloud.received());
    stage.assert_tree_is_backup();
    assert_eq!(
        fs::read_to_string(stage.cloud.bucket(BUCKET).join("shop/full2")).unwrap(),
        "beside"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_do_not_hold() {
    let stage = Stage::new().await;
    stage.write_backup(1, seed());
    let backup = stage.backup.to_str().unwrap();
    let cases = [
        ("AWS_SECRET_ACCESS_KEY", Some("another"), "HTTP 403"),
        ("AWS_ACCESS_KEY_ID", Some("AKIAOTHER"), "HTTP 403"),
        ("AWS_ACCESS_KEY_ID", None, "no AWS credentials could be had"),
    ];
    for (name, value, word) in cases {
        let mut command = stage.command(&[backup, PLACE]);
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
        let output = stage.end(command.spawn().unwrap()).await;
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("next:") && text.contains(word), "{text}");
    }
    assert_eq!(stage.cloud.received(), []);
}

/// It can't be faster than allowed, however fast the machine is.
#[tokio::test(flavor = "multi_thread")]
async fn bandwidth_is_bounded() {
    let stage = Stage::new().await;
    stage.write_backup(12, seed());
    let begun = std::time::Instant::now();
    stage.done(&[stage.backup.to_str().unwrap(), PLACE, "--bandwidth-mib", "6"]).await;
    assert!(begun.elapsed() > Duration::from_millis(1500), "{:?}", begun.elapsed());
    stage.assert_tree_is_backup();
}

/// A disk that is full has no room for the manifest: nothing is sent, and it says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_cannot_be_written() {
    let stage = Stage::new().await;
    stage.write_backup(1, seed());
    let manifest = stage.work.path().join("no/such/place.json");
    let arguments =
        [stage.backup.to_str().unwrap(), PLACE, "--manifest", manifest.to_str().unwrap()];
    fails(&stage, &arguments, 1, &["--manifest"]).await;
    assert_eq!(stage.cloud.received(), []);
}
