//! S3 through the real SDK, against the endpoint on loopback: what the commands' tests don't reach.

use std::{fs, io::Read as _, path::Path, sync::Arc};

use daybreak::{
    aws::{
        self,
        s3::{Begun, ObjectReader, ObjectStore, Payload, S3, base64},
    },
    config::{AwsConfig, Encryption, S3Place},
    engine::StopSignal,
    error::{Error, Kind},
    event::Events,
    target::restore::BucketFacts,
    transit::{
        manifest::Manifest,
        upload::{self, Source, Target},
    },
};
use rehearsal::cloud::Cloud;
use sha2::{Digest as _, Sha256};

const BUCKET: &str = "backups";

struct Stage {
    cloud: Cloud,
    store: Arc<dyn ObjectStore>,
    s3: S3,
    directory: tempfile::TempDir,
}

impl Stage {
    async fn new() -> Stage {
        let directory = tempfile::tempdir().unwrap();
        let cloud = Cloud::start(directory.path().join("s3")).await.unwrap();
        cloud.make_bucket(BUCKET).unwrap();
        // Not by the environment: the tests of one process share it.
        let credentials = aws_sdk_s3::config::Credentials::new(
            &cloud.access_key,
            &cloud.secret_key,
            None,
            None,
            "test",
        );
        let config = AwsConfig {
            region: Some(cloud.region.clone()),
            endpoint_s3: Some(cloud.s3_endpoint.clone()),
            ..AwsConfig::default()
        };
        let sdk = aws::sdk(&config).await.unwrap().into_builder();
        let provider = aws_sdk_s3::config::SharedCredentialsProvider::new(credentials);
        let sdk = sdk.credentials_provider(provider).build();
        let s3 = S3::new(&sdk, &config, None);
        Stage { cloud, store: Arc::new(s3.clone()), s3, directory }
    }

    fn target(&self) -> Target {
        Target {
            store: self.store.clone(),
            place: S3Place::parse("s3://backups/a").unwrap(),
            region: self.cloud.region.clone(),
            split_bytes: 10 << 20,
            part_bytes: 5 << 20,
            uploads: 2,
            encryption: Encryption::S3,
            manifest: self.directory.path().join("upload.json"),
            inspected: None,
        }
    }

    fn backup(&self) -> std::path::PathBuf {
        let backup = self.directory.path().join("backup");
        fs::create_dir_all(backup.join("shop")).unwrap();
        let bytes: Vec<u8> = (0..12_u32 << 20).map(|at| ((at * 31) >> 5) as u8).collect();
        fs::write(backup.join("ibdata1"), bytes).unwrap();
        fs::write(backup.join("shop/a.ibd"), b"a").unwrap();
        backup
    }
}

fn sha256(bytes: &[u8]) -> String {
    base64(Sha256::digest(bytes))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_read_over_connections_that_are_cut() {
    let stage = Stage::new().await;
    let bytes: Vec<u8> = (0..3_u32 << 20).map(|at| ((at * 7) >> 2) as u8).collect();
    let payload = Payload::Memory(bytes.clone().into());
    stage.store.put(BUCKET, "x", payload, &sha256(&bytes), &Encryption::Bucket).await.unwrap();
    stage.cloud.faults(|faults| (faults.resets, faults.reset_after) = (3, 1));
    let runtime = tokio::runtime::Handle::current();
    let store = stage.store.clone();
    let read = tokio::task::spawn_blocking(move || {
        let mut reader = ObjectReader::new(store, runtime, BUCKET, "x", 3 << 20);
        let mut read = Vec::new();
        reader.read_to_end(&mut read).map(|_| read)
    });
    assert!(read.await.unwrap().unwrap() == bytes);
    stage.cloud.faults(|faults| assert_eq!(faults.resets, 0));
    let part = stage.store.get(BUCKET, "x", 100..200).await.unwrap();
    let mut read = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut { part }, &mut read).await.unwrap();
    assert_eq!(read, bytes[100..200]);
}

/// Which key a restore needs is told by the objects, whatever the bucket does by default.
#[tokio::test(flavor = "multi_thread")]
async fn the_objects_say_which_key_they_have() {
    let stage = Stage::new().await;
    let place = S3Place::parse("s3://backups/a").unwrap();
    let key = |id: &str| Some(format!("arn:aws:kms:{}:123456789012:key/{id}", stage.cloud.region));
    let facts = async |asked: &Encryption| BucketFacts::read(&stage.s3, &place, asked).await;
    let kms = Encryption::Kms("5678".into());
    // Before there are any: what was asked for, else the bucket's default.
    assert_eq!(facts(&kms).await.unwrap().kms_key.as_deref(), Some("5678"));
    assert_eq!(facts(&Encryption::S3).await.unwrap().kms_key, None);
    stage.cloud.faults(|faults| faults.default_encryption = Some("aws:kms".into()));
    assert_eq!(facts(&Encryption::Bucket).await.unwrap().kms_key, key("aws/s3"));
    assert_eq!(facts(&Encryption::S3).await.unwrap().kms_key, None);
    let abc = || Payload::Memory("abc".into());
    stage.store.put(BUCKET, "a/x", abc(), &sha256(b"abc"), &kms).await.unwrap();
    for asked in [&Encryption::Bucket, &Encryption::S3, &kms] {
        assert_eq!(facts(asked).await.unwrap().kms_key, key("5678"), "{asked:?}");
    }
    stage.store.put(BUCKET, "a/x", abc(), &sha256(b"abc"), &Encryption::S3).await.unwrap();
    assert_eq!(facts(&Encryption::Bucket).await.unwrap().kms_key, None);
    stage.cloud.faults(|faults| faults.denied = true);
    let error = facts(&kms).await.unwrap_err();
    assert_eq!(error.kind(), Kind::AwsDenied, "{error}");
    let text = error.to_string();
    assert!(text.contains("ReadKey") && text.contains("key/5678"), "{text}");
    // An answer to HEAD that says nothing is a refusal too.
    let error = stage.store.head(BUCKET, "a/x").await.unwrap_err();
    assert_eq!(error.kind(), Kind::AwsDenied, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_parts_are_refused_and_lists_have_pages() {
    let stage = Stage::new().await;
    let store = &stage.store;
    let other = sha256(b"abd");
    let wrong = store.put(BUCKET, "x", Payload::Memory("abc".into()), &other, &Encryption::Bucket);
    assert_eq!(wrong.await.unwrap_err().kind(), Kind::AwsBusy);
    assert_eq!(store.head(BUCKET, "x").await.unwrap(), None);
    let id = store.create(BUCKET, "y", &Encryption::S3).await.unwrap();
    let begun = Begun { key: "y".into(), id };
    for number in [2, 1] {
        let payload = Payload::Memory("abc".into());
        store.part((BUCKET, &begun), number, payload, &sha256(b"abc")).await.unwrap();
    }
    let parts = store.parts(BUCKET, &begun).await.unwrap().unwrap();
    assert_eq!(parts.iter().map(|part| part.number).collect::<Vec<_>>(), [1, 2]);
    assert!(store.uploads(BUCKET, "y").await.unwrap().iter().eq([&begun]));
    // A part that is too small and isn't the last.
    assert_eq!(store.complete(BUCKET, &begun, &parts).await.unwrap_err().kind(), Kind::Aws);
    store.abort(BUCKET, &begun).await.unwrap();
    store.abort(BUCKET, &begun).await.unwrap();
    assert_eq!(store.parts(BUCKET, &begun).await.unwrap(), None);
    for number in 0..1005 {
        fs::write(stage.cloud.bucket(BUCKET).join(format!("n{number:04}")), b"").unwrap();
    }
    let first = store.list(BUCKET, "n", None).await.unwrap();
    let second = store.list(BUCKET, "n", first.next.clone()).await.unwrap();
    assert_eq!((first.objects.len(), second.objects.len(), second.next), (1000, 5, None));
    assert_eq!(second.objects[4].key, "n1004");
}

#[tokio::test(flavor = "multi_thread")]
async fn undo_takes_away_what_is_ours() {
    let stage = Stage::new().await;
    let (events, stop) = (Events::nowhere(), StopSignal::default());
    let (target, backup) = (stage.target(), stage.backup());
    let source = || Source::Tree { directory: backup.clone() };
    upload::upload(&target, source(), &events, &stop).await.unwrap();
    let manifest = Manifest::load(&target.manifest).unwrap().unwrap();
    assert!(manifest.complete);
    assert_eq!(manifest.objects.len(), 2);
    upload::verify(&target, &manifest, &events, &stop).await.unwrap();
    let theirs = stage.cloud.bucket(BUCKET).join("a/theirs");
    fs::write(&theirs, b"theirs").unwrap();
    let error = upload::verify(&target, &manifest, &events, &stop).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Different);
    for _ in 0..2 {
        upload::undo(&target, Some(&backup), &events, &stop).await.unwrap();
    }
    let left = |directory: &Path| fs::read_dir(directory).map_or(0, Iterator::count);
    assert!(theirs.is_file() && left(&stage.cloud.bucket(BUCKET).join("a/shop")) == 0);
    assert!(!stage.cloud.bucket(BUCKET).join("a/ibdata1").exists() && !target.manifest.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_program_failed_is_never_seen() {
    let stage = Stage::new().await;
    let (events, stop) = (Events::nowhere(), StopSignal::default());
    let target = stage.target();
    let stream = |ended: upload::Ended| Source::Stream {
        name: "backup.xbstream".into(),
        compress: false,
        input: Box::new(std::io::repeat(7).take(22 << 20)),
        ended,
    };
    let failed = async { Err(Error::new(Kind::Backup, "the tool failed")) };
    let error =
        upload::upload(&target, stream(Box::pin(failed)), &events, &stop).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Backup);
    assert_eq!(stage.cloud.uploads_under_way(), []);
    assert!(!stage.cloud.bucket(BUCKET).join("a").exists());
    let ended = Box::pin(async { Ok(()) });
    let manifest = upload::upload(&target, stream(ended), &events, &stop).await.unwrap();
    assert_eq!((manifest.objects.len(), manifest.bytes()), (3, 22 << 20));
}
