//! Real backups of a real MySQL 5.6.24, taken under a live writer: whole ones, and damaged ones made of them.
//!
//! They lie in `data/xtrabackup` (see the README there), packed together as small as they go. A test gets
//! them as the files that a DBA would have.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use flate2::{Compression, write::GzEncoder};
use mysql_async::{Conn, Opts, prelude::Queryable as _};

/// The packed samples' version, by their size: what was unpacked of others is left alone.
fn packed() -> PathBuf {
    data().join("samples.tar.xz")
}

/// Schema, table, engine, rows and checksum of each table of a server, as `expected/chain.sums` has them.
///
/// # Errors
/// What the server answers.
pub async fn sums(url: &str) -> mysql_async::Result<Vec<String>> {
    let mut conn = Conn::new(Opts::from_url(url)?).await?;
    let tables: Vec<(String, String, String)> = conn
        .query(
            "SELECT TABLE_SCHEMA, TABLE_NAME, ENGINE FROM information_schema.TABLES WHERE TABLE_TYPE = \
             'BASE TABLE' AND TABLE_SCHEMA NOT IN ('mysql', 'performance_schema', 'information_schema')",
        )
        .await?;
    let mut sums = Vec::new();
    for (schema, table, engine) in tables {
        let name = format!("`{schema}`.`{table}`");
        let none = || mysql_async::Error::Other(format!("{name} has no checksum").into());
        let rows: Option<u64> = conn.query_first(format!("SELECT COUNT(*) FROM {name}")).await?;
        let sum: Option<(String, u64)> = conn.query_first(format!("CHECKSUM TABLE {name}")).await?;
        let (rows, (_, sum)) = (rows.ok_or_else(none)?, sum.ok_or_else(none)?);
        sums.push(format!("{schema}\t{table}\t{engine}\t{rows}\t{sum}"));
    }
    sums.sort();
    conn.disconnect().await?;
    Ok(sums)
}

/// Where the samples lie as they are committed.
pub fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/xtrabackup")
}

/// The directory of all samples, made below `temporary` (a test's `CARGO_TARGET_TMPDIR`) if it isn't there.
///
/// # Panics
/// When they can't be unpacked: no test may go on without them. `xz` must be installed.
pub fn samples(temporary: &Path) -> PathBuf {
    match unpacked(temporary) {
        Ok(directory) => directory,
        Err(error) => panic!("the sample backups can't be unpacked (is xz installed?): {error}"),
    }
}

fn unpacked(temporary: &Path) -> io::Result<PathBuf> {
    let size = fs::metadata(packed())?.len();
    let directory = temporary.join(format!("xtrabackup-{size}"));
    if directory.is_dir() {
        return Ok(directory);
    }
    fs::create_dir_all(temporary)?;
    // Made beside it and moved: another process may do the same at the same time.
    let work = tempfile::tempdir_in(temporary)?;
    let made = work.path().join("made");
    fs::create_dir(&made)?;
    let mut xz = Command::new("xz").arg("-dc").arg(packed()).stdout(Stdio::piped()).spawn()?;
    let stream = xz.stdout.take().ok_or_else(|| io::Error::other("no stdout"))?;
    let mut archive = tar::Archive::new(stream);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.display().to_string();
        let mut plain = Vec::new();
        entry.read_to_end(&mut plain)?;
        let zipped = zip(&plain)?;
        match name.as_str() {
            "backup.tar" => {
                for (number, part) in zipped.chunks(zipped.len() / 4 + 1).enumerate() {
                    fs::write(made.join(format!("backup.tar.gz.{number:02}")), part)?;
                }
            }
            "full.xbstream" => {
                fs::write(made.join("full.xbstream.gz"), &zipped)?;
                damaged(&plain, &made)?;
            }
            name => fs::write(made.join(format!("{name}.gz")), &zipped)?,
        }
    }
    if !xz.wait()?.success() {
        return Err(io::Error::other("xz failed"));
    }
    fs::copy(data().join("prepared_chain.tar.gz"), made.join("prepared_chain.tar.gz"))?;
    fs::create_dir(made.join("expected"))?;
    fs::copy(data().join("chain.sums"), made.join("expected/chain.sums"))?;
    match fs::rename(&made, &directory) {
        Err(_) if directory.is_dir() => {}
        renamed => renamed?,
    }
    Ok(directory)
}

/// The same stream with one bit flipped, and cut on the boundary of a chunk.
fn damaged(stream: &[u8], into: &Path) -> io::Result<()> {
    const FLIPPED: usize = 27_783_995;
    const CUT: usize = 28_507_212;
    let mut flipped = stream.to_vec();
    flipped[FLIPPED] ^= 1;
    fs::write(into.join("bad_one_bit.xbstream.gz"), zip(&flipped)?)?;
    fs::write(into.join("bad_cut_between_chunks.xbstream.gz"), zip(&stream[..CUT])?)
}

fn zip(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut zip = GzEncoder::new(Vec::new(), Compression::fast());
    zip.write_all(plain)?;
    zip.finish()
}
