//! Backup and upload on two hosts that share a staging directory: two processes that share nothing else.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rehearsal::cloud::Cloud;

use crate::{
    place::{Place, wrote},
    support,
};

/// All files below a directory, without daybreak's own.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut open, mut found) = (vec![root.to_path_buf()], BTreeMap::new());
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_string();
            if path.is_dir() {
                open.push(path);
            } else if !name.starts_with("daybreak-") && !name.starts_with(".daybreak") {
                let bytes = fs::read(&path).unwrap();
                found.insert(path.strip_prefix(root).unwrap().to_path_buf(), bytes);
            }
        }
    }
    found
}

/// The uploading host: it knows the shared directory and the bucket, and no server.
struct Uploader<'a> {
    cloud: &'a Cloud,
    home: tempfile::TempDir,
}

impl Uploader<'_> {
    fn upload(&self, shared: &Path, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_daybreak"));
        command
            .arg("upload")
            .arg(shared)
            .args(["s3://backups/shop", "--for", "any", "--dir"])
            .arg(self.home.path())
            .args(["--endpoint-s3", &self.cloud.s3_endpoint, "--region", &self.cloud.region])
            .args(more)
            .stdin(Stdio::null())
            .current_dir(self.home.path())
            .env_clear()
            .env("HOME", self.home.path())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ACCESS_KEY_ID", &self.cloud.access_key)
            .env("AWS_SECRET_ACCESS_KEY", &self.cloud.secret_key);
        command
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_taken_by_one_host_is_uploaded_by_another() {
    let mut place = Place::start(500).await;
    let shared = place.backups();
    let writer = place.writer().await;
    place.taken(&[]).await;
    wrote(&writer, 100).await;
    place.checkpoint().await;
    place.taken(&["--incremental"]).await;
    writer.stop().await.unwrap();
    // The source's host is out of reach by now.
    place.server.stop().await;

    let cloud = Cloud::start(place.home.path().join("s3")).await.unwrap();
    cloud.make_bucket("backups").unwrap();
    let uploader = Uploader { cloud: &cloud, home: tempfile::tempdir().unwrap() };
    // Where nothing is mounted the directory is empty, or isn't there.
    let unmounted = uploader.home.path().join("efs");
    let missing = support::output(uploader.upload(&unmounted, &[])).await;
    assert!(!missing.status.success(), "{}", support::said(&missing));
    fs::create_dir(&unmounted).unwrap();
    let empty = support::output(uploader.upload(&unmounted, &[])).await;
    assert_eq!(empty.status.code(), Some(2), "{}", support::said(&empty));
    assert!(support::said(&empty).contains("mounted here"), "{}", support::said(&empty));
    // The manifest would be written where nothing can be.
    let unwritable = ["--manifest", "/proc/self/upload.json"];
    let refused = support::output(uploader.upload(&shared, &unwritable)).await;
    assert_eq!(refused.status.code(), Some(3), "{}", support::said(&refused));
    assert!(support::said(&refused).contains("--manifest FILE"), "{}", support::said(&refused));
    assert_eq!(files(&cloud.bucket("backups")).len(), 0, "something went up");

    let done = support::output(uploader.upload(&shared, &[])).await;
    assert!(done.status.success(), "{}", support::said(&done));
    let (sent, taken) = (files(&cloud.bucket("backups").join("shop")), files(&shared));
    assert!(taken.keys().any(|path| path.ends_with("full/xtrabackup_checkpoints")));
    assert!(taken.keys().any(|path| path.starts_with("inc1")), "{:?}", taken.keys());
    assert!(sent == taken, "the bucket holds something else than the shared directory");

    // What both hosts know of it lies in the shared directory: a third one goes on from there.
    let third = Uploader { cloud: &cloud, home: tempfile::tempdir().unwrap() };
    let again = support::output(third.upload(&shared, &[])).await;
    assert!(again.status.success(), "{}", support::said(&again));
    assert!(support::said(&again).contains("uploaded already"), "{}", support::said(&again));
    // And what the manifest of the backups knows must be there.
    fs::rename(shared.join("inc1"), place.home.path().join("gone")).unwrap();
    let gone = support::output(third.upload(&shared, &[])).await;
    assert_eq!(gone.status.code(), Some(3), "{}", support::said(&gone));
    assert!(support::said(&gone).contains("inc1"), "{}", support::said(&gone));
}
