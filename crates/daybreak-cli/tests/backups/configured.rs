//! `backup take` goes by `[source]` and `[backup]` of a daybreak.toml; flags win.

use crate::{place::Place, support};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_given_is_as_configured() {
    let place = Place::start(100).await;
    let directory = tempfile::tempdir().unwrap();
    let configure = |backup: &str| {
        let text = format!(
            "[source]\nurl = \"mysql://backup@127.0.0.1:{}/\"\n\n[target]\nurl = \"mysql://a@nowhere/\"\n\
             password_file = \"not-on-this-host\"\n\n[backup]\n{backup}\n",
            place.server.port()
        );
        support::private(&directory.path().join("daybreak.toml"), &text);
    };
    let command = |arguments: &[&str]| {
        let mut command = place.daybreak(&["backup", "take", "--dir"]);
        command.arg(directory.path()).arg("--to").arg(place.backups()).args(arguments);
        command
    };
    let take = |arguments: &[&str]| support::output(command(arguments));
    let tool = place.tools.backup.to_str().unwrap();
    configure("");
    let mut nothing_found = command(&[]);
    nothing_found.env("PATH", place.home.path());
    let ended = support::output(nothing_found).await;
    assert!(support::said(&ended).contains("program in [backup]"), "{}", support::said(&ended));

    configure(&format!("program = \"{tool}\"\nparallel = 3\n"));
    let ended = take(&["--name", "one"]).await;
    assert!(ended.status.success(), "{}", support::said(&ended));
    let info = std::fs::read_to_string(place.backups().join("one/xtrabackup_info")).unwrap();
    assert!(info.contains("--parallel=3"), "{info}");

    let ended = take(&["--name", "two", "--parallel", "1"]).await;
    assert!(ended.status.success(), "{}", support::said(&ended));
    let info = std::fs::read_to_string(place.backups().join("two/xtrabackup_info")).unwrap();
    assert!(info.contains("--parallel=1"), "{info}");

    configure("tool = \"xtrabackup\"\nprogram = \"/nowhere/xtrabackup\"");
    let ended = take(&["--name", "three"]).await;
    assert!(support::said(&ended).contains("/nowhere/xtrabackup"), "{}", support::said(&ended));
    let ended = take(&["--name", "three", "--program", tool]).await;
    assert!(ended.status.success(), "{}", support::said(&ended));
    assert_eq!(place.list().await.len(), 3);
}
