//! Which server the physical route is rehearsed on, and with which backup tool.
//!
//! MariaDB and mariadb-backup unless a server is named, so that nothing that happens to be installed changes what
//! is rehearsed. A MySQL server gets the XtraBackup that a real run would take; it is never replaced silently.

use daybreak::{
    config::BackupTool,
    error::{Error, Kind, Result},
    mysql::Dialect,
    source::backup::tool::{self, Tool},
};
use rehearsal::{
    cloud::cluster::{Profile, Programs},
    server::{BackupPrograms, Product, find, find_mariadb_backup, identify},
};

use super::failed;
use crate::cli::Rehearse;

/// What the rehearsal runs.
pub struct Tools {
    /// The server, for source and cluster, and the backup tool.
    pub programs: Programs,
    /// What it is called, with its version.
    name: String,
}

impl Tools {
    /// Finds them, before anything is started.
    pub async fn choose(options: &Rehearse) -> Result<Tools> {
        let server = match &options.server {
            Some(path) => {
                // A server works in its own directory. A bare name is for PATH.
                let path = match path.is_file() {
                    true => std::path::absolute(path)?,
                    false => path.clone(),
                };
                identify(&path).map_err(|error| {
                    Error::new(Kind::Usage, "no rehearsal can run on this server")
                        .because(error)
                        .at("--server")
                })?
            }
            None => find(Product::Mariadb1011).map_err(failed)?,
        };
        let dialect = Dialect::read(&server.version_said(), None);
        let needed = tool::needed(&dialect).map_err(|error| error.at(server.mysqld.display()))?;
        let mariadb = server.product == Product::Mariadb1011;
        let tool = match &options.backup_program {
            None if mariadb => {
                let program = find_mariadb_backup().map_err(failed)?.backup;
                Tool::probe(&program).await?
            }
            named => {
                let kind = match mariadb {
                    true => BackupTool::MariadbBackup,
                    // Of its two front ends the one that all series have.
                    false => BackupTool::Xtrabackup,
                };
                tool::find_by(Some(kind), named.as_deref(), &dialect).await.map_err(|error| {
                    error.next(format!("install {needed}, or name its program: --backup-program"))
                })?
            }
        };
        let program = std::path::absolute(&tool.program)?;
        let tools = BackupPrograms::of(server.product, program);
        if options.stream && tools.stream.is_none() {
            let name = if mariadb { "mbstream" } else { "xbstream" };
            return Err(Error::new(
                Kind::Backup,
                format!("{name}, which unpacks the stream, is neither beside the tool nor on PATH"),
            )
            .at(tools.backup.display())
            .next(format!("install {needed} whole, or rehearse without --stream")));
        }
        Ok(Tools { name: tool.to_string(), programs: Programs { server, tools } })
    }

    /// Whose server it is.
    pub fn product(&self) -> Product {
        self.programs.server.product
    }

    /// Whether Aurora restores backups of such a server at all.
    fn aurora_takes_it(&self) -> bool {
        matches!(self.product(), Product::Mysql57 | Product::Mysql97)
    }

    /// By whose rules the stand-in takes backups: Aurora's, where they can be kept.
    pub fn profile(&self) -> Profile {
        if self.aurora_takes_it() { Profile::Aurora } else { Profile::Rehearsal }
    }

    /// The line of `[backup]` by which daybreak judges likewise.
    pub fn rules(&self) -> &'static str {
        if self.aurora_takes_it() { "" } else { "rules = \"any\"\n" }
    }

    /// The section by which routines come back as the master account's own: before 8.0 nobody without SUPER
    /// sets another definer, and no master account has that.
    pub fn definers(&self) -> &'static str {
        match self.product() {
            Product::Mysql56 | Product::Mysql57 => "\n[copy]\ndefiner = \"current\"\n",
            Product::Mariadb1011 | Product::Mysql97 => "",
        }
    }

    /// In what the rehearsal isn't the real thing; none: server and tool are those of a real run.
    pub fn caution(&self) -> Option<String> {
        match self.product() {
            Product::Mariadb1011 => Some(
                "mariadb-backup and a MariaDB source stand in for XtraBackup and MySQL: real Aurora restores \
                 from MySQL only"
                    .into(),
            ),
            Product::Mysql56 => Some(format!(
                "{} backs up MySQL 5.6 here: real Aurora restores from MySQL 5.7 and 8.0 only",
                self.name
            )),
            Product::Mysql57 | Product::Mysql97 => None,
        }
    }

    /// What runs.
    pub fn told(&self) -> String {
        format!(
            "rehearsed on {} {} with {}, by the rules of {}",
            match self.product() {
                Product::Mariadb1011 => "MariaDB",
                _ => "MySQL",
            },
            self.programs.server.version,
            self.name,
            if self.aurora_takes_it() { "Aurora" } else { "a rehearsal" },
        )
    }
}
