//! `daybreak rehearse`: a whole migration on this machine, by the code that meets AWS.
//!
//! Owns the stage (two real servers, generated data, a writer in its own process) and the proof by
//! content that every commit which the writer saw acknowledged is on the target. The migration in
//! between is `daybreak run --yes`, unchanged.

use std::{
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use daybreak::{
    config,
    engine::{
        Endpoint, StopSignal,
        context::{ENDPOINT, RESTORE},
    },
    error::{Error, Exit, Kind, Result},
    event::{Event, Events, Unit},
    mysql::{ServerUrl, Session as Connection, Side},
    report::{self, Report},
};
use mysql_async::prelude::Queryable as _;
use rehearsal::{
    server::{Product, Role, Server, ServerOptions},
    shop::{self, ShopOptions},
    writer::{self, Status, WriterHandle, WriterOptions, WriterSpawn},
};
use serde_json::json;

use super::{
    Session, init, listen_for_signals,
    migration::{self, Planning},
    run,
};
use crate::cli::{Position, Rehearse, Route, Servers};
use cloud::Loopback;
use tools::Tools;

mod cloud;
mod tools;

const DATABASE: &str = "shop";
const WORKERS: u32 = 4;
/// How many commits on the target show that the application lives there.
const COMMITS_AFTER: u64 = 500;

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(Kind::Io, "the rehearsal's stage failed")
        .because(error)
        .next("see the server's error log named above; scripts/get-servers fetches servers")
}

/// Rehearses.
pub async fn rehearse(session: &Session<'_>, options: Rehearse) -> Result<Exit> {
    let begun = Instant::now();
    if options.route == Route::Physical && (options.position == Position::Gtid || options.downtime)
    {
        return Err(Error::new(
            Kind::Usage,
            "the physical route begins at the backup's file and position: it has neither GTID auto position nor \
             an accepted downtime",
        )
        .at(if options.downtime { "--downtime" } else { "--position gtid" })
        .next("leave it out, or rehearse it with --route logical"));
    }
    if options.route == Route::Logical && options.backup_program.is_some() {
        return Err(Error::new(Kind::Usage, "the logical route takes no backup")
            .at("--backup-program")
            .next("leave it out, or rehearse with --route physical"));
    }
    let tools = match options.route {
        Route::Physical => Some(Tools::choose(&options).await?),
        Route::Logical => None,
    };
    let directory = match &options.dir {
        Some(dir) => dir.clone(),
        None => {
            PathBuf::from(format!("rehearsal-{}", jiff::Zoned::now().strftime("%Y%m%d-%H%M%S")))
        }
    };
    std::fs::create_dir_all(&directory)
        .map_err(|error| Error::from(error).at(directory.display()))?;
    let directory = directory.canonicalize()?;
    if daybreak::engine::Journal::exists(&directory) {
        return Err(Error::new(Kind::Usage, "the directory holds a migration already")
            .at(directory.display())
            .next("give another --dir"));
    }
    let events = session.ui.events();
    let stop = StopSignal::default();
    listen_for_signals(stop.clone())?;
    let setting = async {
        if let Some(tools) = &tools {
            events.info(tools.told());
        }
        let caution = tools.as_ref().and_then(Tools::caution);
        let stage = Stage::set(&options, tools, &directory, &events).await?;
        if let Some(caution) = caution {
            events.warn(caution);
        }
        let application = Arc::new(stage.start_writer(&options, &directory)?);
        wait_for_writer(&application, "commits on the source", |status| status.committed >= 200)
            .await?;
        stage.write_configuration(&options, &directory)?;
        Ok::<_, Error>((stage, application))
    };
    // Dropped half made, it stops its servers and takes its files away.
    let (stage, application) = tokio::select! {
        set = setting => set?,
        () = stop.stopped() => {
            let next = if options.keep {
                "its servers' files are in this directory (--keep): `daybreak rehearse` with another --dir begins anew"
            } else {
                "nothing is left of it but this directory; `daybreak rehearse` begins anew"
            };
            return Err(Error::new(Kind::Interrupted, "the rehearsal was interrupted while it was set up")
                .at(directory.display())
                .next(next));
        }
    };
    let observing = Session {
        global: session.global,
        ui: session.ui,
        one_document: false,
        observer: Some(move_writer(application.clone(), stage.destination(&directory))),
    };
    let servers = Servers::default();
    let migration = migration::open(
        &observing,
        &directory,
        &servers,
        Planning::IfMissing { consent: true, route: options.route.into() },
        None,
        |overrides| {
            // Exported passwords are those of other servers.
            (overrides.source_password, overrides.target_password) = (None, None);
            Ok(())
        },
    )
    .await?;
    let exit = run::go(&observing, &migration, None, true).await?;
    if exit != Exit::Done {
        return Ok(exit);
    }

    events.info("the writer has moved; waiting for its commits on the target");
    let url = migration.context.target_url()?;
    let target = format!("127.0.0.1:{}", url.port);
    let moved = wait_for_writer(&application, "commits on the target", |status| {
        status.by_endpoint.get(&target).is_some_and(|commits| *commits >= COMMITS_AFTER)
    })
    .await?;
    application.stop().await.map_err(failed)?;
    let proof =
        writer::check(&stage.target_root().await?, &application.ledger()).await.map_err(failed)?;
    let closed = stage.source_is_closed().await?;

    let value = json!({
        "acknowledged_commits": proof.acknowledged,
        "in_doubt": proof.in_doubt.len(),
        "rows_checked": proof.rows_checked,
        "all_on_target": proof.is_ok(),
        "source_closed": closed,
        "longest_gap_millis": moved.longest_gap_ms,
        "commits_on_target": moved.by_endpoint.get(&target),
        "rows_generated": stage.rows,
        "seconds": begun.elapsed().as_secs_f64(),
    });
    let report = Report::build(&migration.context.journal)?.with_rehearsal(value.clone());
    let (_, page) = report::write(&report, &directory)?;
    if session.global.json.is_some() {
        session.ui.document(&value);
    }
    session.ui.line("");
    session.ui.line(&format!("writer:  {proof}"));
    session.ui.line(&format!(
        "writer:  longest time without a commit around the cutover {:.0} ms",
        moved.longest_gap_ms
    ));
    session.ui.line(&format!(
        "source:  {}",
        if closed { "closed for writes" } else { "STILL TAKES WRITES" }
    ));
    session.ui.line(&format!(
        "rehearsed in {:.0} s; report: {}",
        begun.elapsed().as_secs_f64(),
        page.display()
    ));
    if options.keep {
        session
            .ui
            .line(&format!("the servers' files are in {}", directory.join("servers").display()));
    }
    if !proof.is_ok() || !closed {
        return Err(Error::new(Kind::Different, "the rehearsal failed its proof")
            .at(page.display())
            .next("keep the directory and report this"));
    }
    Ok(Exit::Done)
}

/// Where the migration goes.
enum Target {
    /// A server that is there.
    Server(Box<Server>),
    /// S3 and RDS, which make one.
    Cloud(Box<Loopback>),
}

/// Where the application is sent at the cutover. A restored cluster is known by then.
struct Destination {
    known: OnceLock<String>,
    directory: PathBuf,
    password: String,
}

impl Destination {
    fn url(&self) -> Option<String> {
        if let Some(known) = self.known.get() {
            return Some(known.clone());
        }
        let journal = daybreak::engine::Journal::open(&self.directory).ok()?;
        let endpoint: Option<Endpoint> = journal.recall(RESTORE, ENDPOINT).ok()?;
        endpoint.map(|endpoint| app_url(&self.password, endpoint.port))
    }
}

/// Two servers, filled and ready.
struct Stage {
    source: Server,
    target: Target,
    source_app: String,
    app_password: String,
    rows: u64,
    /// Taken away with the stage, unless kept.
    _servers: Option<tempfile::TempDir>,
}

impl Stage {
    async fn set(
        options: &Rehearse,
        tools: Option<Tools>,
        directory: &Path,
        events: &Events,
    ) -> Result<Self> {
        let (place, taken_away) = if options.keep {
            (directory.join("servers"), None)
        } else {
            let temporary = tempfile::Builder::new().prefix("daybreak-rehearsal-").tempdir()?;
            (temporary.path().to_path_buf(), Some(temporary))
        };
        let product = tools.as_ref().map_or(Product::Mysql97, Tools::product);
        // A cluster of 5.6 can follow no source that has them: there is no mode between.
        let gtid = options.position != Position::File && product != Product::Mysql56;
        let wish = |role: Role, name: &str| {
            let mut wish = ServerOptions::new(product, role)
                .gtid(gtid)
                .buffer_pool_mib(if options.rows > 500_000 { 1024 } else { 256 })
                .redo_log_mib(if options.rows > 500_000 { 1024 } else { 128 })
                .dir(place.join(name));
            if let Some(path) = &options.server {
                wish = wish.mysqld(path);
            }
            wish
        };
        events.info(match tools {
            Some(_) => "starting a source, and S3 and RDS on loopback",
            None => "starting a source and an Aurora stand-in",
        });
        std::fs::create_dir_all(&place)?;
        let mut on_source = wish(Role::Source, "source");
        if options.incrementals > 0 && product != Product::Mariadb1011 {
            // It makes no checkpoint in a rehearsal's short time else, and none can be asked for: an incremental
            // backup would hold nothing.
            on_source = on_source.arg("--innodb-max-dirty-pages-pct=0");
            if product == Product::Mysql56 {
                // It counts dirty pages in whole percents.
                on_source = on_source.buffer_pool_mib(8);
            }
        }
        let source = Server::start(on_source).await.map_err(failed)?;
        let target = match tools {
            Some(tools) => Target::Cloud(Box::new(Loopback::start(&place, tools).await?)),
            None => Target::Server(Box::new(
                Server::start(wish(Role::AuroraStandin, "target")).await.map_err(failed)?,
            )),
        };

        // The application's account: no more than it needs, the same on both sides (accounts aren't
        // migrated), and bound by read_only.
        let password: String =
            (0..4).map(|_| format!("{:08x}", rand_u32())).collect::<String>() + "-Aa";
        let source_app = app_url(&password, source.port());
        // A restored cluster gets its accounts from the source.
        let mut servers = vec![(&source, Side::Source)];
        if let Target::Server(target) = &target {
            servers.push((target, Side::Target));
        }
        for (server, side) in servers {
            let mut root = connect(&server.root_url(), side).await?;
            root.execute("SET sql_log_bin = 0").await?;
            // By the client itself: what a session runs may be traced, and this holds a password.
            root.conn()
                .query_drop(format!("CREATE USER 'app'@'%' IDENTIFIED BY '{password}'"))
                .await
                .map_err(failed)?;
            root.execute(format!("GRANT ALL ON {DATABASE}.* TO 'app'@'%'")).await?;
            if product == Product::Mysql56 {
                // It comes with an account for anybody at this host, which would catch the application's
                // logins and the replica's.
                root.execute("DELETE FROM mysql.user WHERE User = ''").await?;
                root.execute("FLUSH PRIVILEGES").await?;
            }
            if side == Side::Source {
                // The application owns its functions and triggers, and has no SUPER.
                root.execute("SET GLOBAL log_bin_trust_function_creators = 1").await?;
            }
            root.close().await;
        }

        events.info(format!("generating {} rows (seed {})", options.rows, options.seed));
        let progress = events.clone();
        let shop = shop::generate(
            &source_app,
            &ShopOptions {
                rows: options.rows,
                seed: options.seed,
                database: DATABASE.into(),
                threads: 2,
                ..ShopOptions::default()
            },
            move |done, total| {
                progress.send(Event::Progress {
                    task: "generate".into(),
                    now: DATABASE.into(),
                    done,
                    total: Some(total),
                    unit: Unit::Rows,
                    bytes: 0,
                });
            },
        )
        .await
        .map_err(failed)?;
        events.info(format!("{} rows in {:.0} s", shop.rows, shop.seconds));

        // Closed until the cutover opens it.
        if let Target::Server(target) = &target {
            let mut admin = connect(&target.admin_url(), Side::Target).await?;
            admin.execute("CALL mysql.rds_set_read_only(1)").await?;
            admin.close().await;
        }
        Ok(Stage {
            source,
            target,
            source_app,
            app_password: password,
            rows: shop.rows,
            _servers: taken_away,
        })
    }

    /// Root's URL on the target, past everything that the migration goes through.
    async fn target_root(&self) -> Result<String> {
        match &self.target {
            Target::Server(server) => Ok(server.root_url()),
            Target::Cloud(cloud) => cloud.root_url().await,
        }
    }

    /// Where the application is sent at the cutover.
    fn destination(&self, directory: &Path) -> Destination {
        let known = OnceLock::new();
        if let Target::Server(server) = &self.target {
            known.get_or_init(|| app_url(&self.app_password, server.port()));
        }
        Destination { known, directory: directory.into(), password: self.app_password.clone() }
    }

    fn start_writer(&self, options: &Rehearse, directory: &Path) -> Result<WriterHandle> {
        let exe = std::env::current_exe()?;
        let mut wish = WriterOptions::new(directory.join("writer"));
        wish.database = DATABASE.into();
        wish.workers = WORKERS;
        wish.rate = options.rate as f64;
        wish.seed = options.seed;
        WriterHandle::spawn(WriterSpawn {
            exe: &exe,
            args: &["rehearsal-writer", "--"],
            url: &self.source_app,
            options: wish,
        })
        .map_err(failed)
    }

    /// Writes `daybreak.toml` and the password files, as an operator would.
    fn write_configuration(&self, options: &Rehearse, directory: &Path) -> Result<()> {
        let mut text = String::new();
        let target = match &self.target {
            Target::Server(server) => server.admin_url(),
            Target::Cloud(cloud) => cloud.master_url(),
        };
        for (section, url) in [("source", self.source.root_url()), ("target", target)] {
            let parsed = ServerUrl::parse(&url)?;
            let file = format!("{section}.password");
            if let Some(secret) = &parsed.password {
                write_private(&directory.join(&file), secret.reveal())?;
            }
            let plain = ServerUrl::blanked(&url).unwrap_or(url);
            text += &format!("[{section}]\nurl = \"{plain}\"\npassword_file = \"{file}\"\n\n");
        }
        let position = match options.position {
            Position::Auto => "auto",
            Position::Gtid => "gtid",
            Position::File => "file",
        };
        let mode = if options.downtime { "none" } else { "native" };
        text += &format!("[replication]\nmode = \"{mode}\"\nposition = \"{position}\"\n");
        if let Target::Cloud(cloud) = &self.target {
            text += &cloud.configuration(options, directory)?;
        }
        if directory.join(config::FILE).exists() {
            return Ok(());
        }
        init::write(directory, &text, false)
    }

    async fn source_is_closed(&self) -> Result<bool> {
        let mut app = connect(&self.source_app, Side::Source).await?;
        let refused = app
            .execute(format!("CREATE TABLE {DATABASE}.written_after_the_cutover (id INT)"))
            .await;
        app.close().await;
        Ok(matches!(refused, Err(error) if error.code() == Some(1290)))
    }
}

fn app_url(password: &str, port: u16) -> String {
    format!("mysql://app:{password}@127.0.0.1:{port}/")
}

async fn connect(url: &str, side: Side) -> Result<Connection> {
    Connection::open(&ServerUrl::parse(url)?, side).await
}

fn rand_u32() -> u32 {
    use std::hash::{BuildHasher as _, Hasher as _};
    // The standard library's hash keys come from the system's randomness.
    std::hash::RandomState::new().build_hasher().finish() as u32
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| Error::from(error).at(path.display()))?;
    file.write_all(text.as_bytes())?;
    Ok(())
}

/// What an operator's switch does: at the cutover the application is sent to the target.
fn move_writer(application: Arc<WriterHandle>, destination: Destination) -> Events {
    Events::to(move |event| {
        let moved = match event {
            // Well before writes stop: a mark that the writer reads when the gap is over would miss it.
            Event::StepStarted { step, .. } if step == "verify" => application.mark_gap().map(drop),
            Event::WritesResumed { why, on_target: true, .. } if why == "cutover" => {
                match destination.url() {
                    Some(target) => application.set_url(&target),
                    None => return,
                }
            }
            _ => return,
        };
        if let Err(error) = moved {
            tracing::error!(target: "daybreak", %error, "the writer can't be steered");
        }
    })
}

async fn wait_for_writer(
    application: &WriterHandle,
    what: &str,
    reached: impl Fn(&Status) -> bool,
) -> Result<Status> {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        if !application.is_running() {
            return Err(Error::new(Kind::Io, "the rehearsal's writer ended by itself")
                .next("see writer/writer.log in the rehearsal's directory"));
        }
        if let Ok(status) = application.status()
            && reached(&status)
        {
            return Ok(status);
        }
        if Instant::now() > deadline {
            return Err(Error::new(Kind::Timeout, format!("the writer shows no {what} in 120 s"))
                .next("see writer/status.json in the rehearsal's directory"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The writer's own process.
pub async fn writer(args: Vec<String>) -> Result<Exit> {
    let options =
        WriterOptions::parse(args).map_err(|error| Error::new(Kind::Usage, error.to_string()))?;
    writer::run(options)
        .await
        .map_err(|error| Error::new(Kind::Io, "the writer failed").because(error))?;
    Ok(Exit::Done)
}
