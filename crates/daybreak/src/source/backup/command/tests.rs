//! Every command line, as it is given to the tool.

use super::*;
use crate::source::backup::tool::numbers;

fn tools() -> Vec<Tool> {
    use BackupTool::{Innobackupex, MariadbBackup, Xtrabackup};
    [
        (Xtrabackup, "2.3.10"),
        (Xtrabackup, "2.4.29"),
        (Xtrabackup, "8.0.35-30"),
        (Innobackupex, "2.4.29"),
        (MariadbBackup, "10.11.18-MariaDB"),
    ]
    .map(|(kind, text)| Tool {
        kind,
        program: "/usr/bin/tool".into(),
        version: numbers(text),
        text: text.into(),
    })
    .into()
}

fn options(pages: Pages, destination: Destination) -> BackupOptions {
    BackupOptions {
        login: "/run/login.cnf".into(),
        data_directory: None,
        parallel: 4,
        throttle: None,
        pages,
        destination,
    }
}

fn all(mut line: impl FnMut(&Tool) -> Option<Vec<OsString>>) -> String {
    let mut text = String::new();
    for tool in tools() {
        let shown = match line(&tool) {
            Some(arguments) => shown(Path::new(""), &arguments),
            None => " (not offered)".into(),
        };
        text.push_str(&format!("{tool}:{shown}\n"));
    }
    text
}

#[test]
fn full_to_a_directory() {
    let mut asked = options(Pages::All, Destination::Directory("/b/full".into()));
    asked.throttle = Some(100);
    asked.data_directory = Some("/mnt/data".into());
    insta::assert_snapshot!(all(|tool| Some(backup(tool, &asked))));
}

#[test]
fn incremental_to_a_directory() {
    let asked =
        options(Pages::SinceDirectory("/b/full".into()), Destination::Directory("/b/inc1".into()));
    insta::assert_snapshot!(all(|tool| Some(backup(tool, &asked))));
}

#[test]
fn streams_of_all_kinds() {
    let destination = |format| Destination::Stream {
        format,
        scratch: "/run/scratch".into(),
        lsn: "/run/lsn".into(),
    };
    let line = |tool: &Tool, format, pages: Pages| {
        streams(tool, format, !matches!(pages, Pages::All))
            .then(|| backup(tool, &options(pages, destination(format))))
    };
    let text = [
        all(|tool| line(tool, StreamFormat::Xbstream, Pages::All)),
        all(|tool| line(tool, StreamFormat::Xbstream, Pages::SinceLsn(44760))),
        all(|tool| line(tool, StreamFormat::Tar, Pages::All)),
        all(|tool| line(tool, StreamFormat::Tar, Pages::SinceLsn(44760))),
    ];
    insta::assert_snapshot!(text.join("\n"));
}

#[test]
fn preparing_a_chain() {
    let step = |incremental: Option<&str>, last| PrepareOptions {
        target: "/b/full".into(),
        incremental: incremental.map(Into::into),
        last,
        scratch: "/b/tmp".into(),
    };
    let text = [step(None, false), step(Some("/b/inc1"), false), step(Some("/b/inc2"), true)]
        .map(|step| all(|tool| Some(prepare(tool, &step))));
    insta::assert_snapshot!(text.join("\n"));
}
