//! A source for the physical route, and S3 and RDS on loopback.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{path::Path, time::Duration};

use mysql_async::prelude::Queryable as _;
use rehearsal::{
    cloud::{
        Cloud,
        rds::{Options, ROLE, Rds, SUBNET_GROUP},
    },
    server::{Product, Role, Server, ServerOptions, find_mariadb_backup},
    shop::{self, ShopOptions},
};

use crate::support::{configure, connect, daybreak, kill_log, output, private, said};

pub const OWNER: &str = "Owner-of-the-shop-1";
pub const MASTER: &str = "Master-of-the-cluster-1";

/// A live MariaDB, and S3 and RDS on loopback.
pub struct Stage {
    pub source: Server,
    pub cloud: Cloud,
    pub rds: Rds,
    pub place: tempfile::TempDir,
}

impl Stage {
    pub async fn start() -> Stage {
        let wish = ServerOptions::new(Product::Mariadb1011, Role::Source)
            .gtid(false)
            .buffer_pool_mib(64)
            .redo_log_mib(64);
        let source = Server::start(wish).await.unwrap();
        let mut root = connect(&source.root_url()).await;
        for statement in [
            &format!("CREATE USER 'owner'@'%' IDENTIFIED BY '{OWNER}'"),
            "GRANT ALL ON shop.* TO 'owner'@'%'",
            "SET GLOBAL log_bin_trust_function_creators = 1",
        ] {
            root.query_drop(statement).await.unwrap();
        }
        let owner = format!("mysql://owner:{OWNER}@127.0.0.1:{}/", source.port());
        let options = ShopOptions { rows: 2000, seed: 5, ..ShopOptions::default() };
        shop::generate(&owner, &options, |_, _| {}).await.unwrap();
        kill_log::make(&mut root).await;

        let place = tempfile::tempdir().unwrap();
        let cloud = Cloud::start(place.path().join("s3")).await.unwrap();
        cloud.make_bucket("backups").unwrap();
        let rds = Rds::start(Options::beside(
            &cloud,
            place.path().join("rds"),
            Duration::from_millis(300),
        ))
        .await
        .unwrap();
        Stage { source, cloud, rds, place }
    }

    /// A directory with a plan by the physical route.
    pub async fn planned(&self, backup: &str) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        self.configure(directory.path(), backup);
        let planned = output(daybreak(directory.path(), &["plan", "--route", "physical"])).await;
        assert!(planned.status.success(), "{}", said(&planned));
        directory
    }

    pub fn configure(&self, directory: &Path, backup: &str) {
        self.configure_with(directory, backup, &find_mariadb_backup().unwrap().backup);
    }

    /// With another program as the tool.
    pub fn configure_with(&self, directory: &Path, backup: &str, program: &Path) {
        private(
            &directory.join("aws.credentials"),
            &format!(
                "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
                self.cloud.access_key, self.cloud.secret_key
            ),
        );
        let sections = format!(
            "[aws]\nregion = \"{}\"\nendpoint_s3 = \"{}\"\nendpoint_rds = \"{}\"\n\
             credentials_file = \"aws.credentials\"\n\
             \n[backup]\nprogram = \"{}\"\nrules = \"any\"\n{backup}\n\
             \n[staging]\ndirectory = \"{}\"\ns3 = \"s3://backups/here\"\n\
             \n[restore]\ncluster = \"shop\"\nsubnet_group = \"{SUBNET_GROUP}\"\ningestion_role = \"{ROLE}\"\n",
            self.cloud.region,
            self.cloud.s3_endpoint,
            self.rds.endpoint(),
            program.display(),
            self.place.path().join("staging").display(),
        );
        std::fs::create_dir_all(self.place.path().join("staging")).unwrap();
        let target = format!("mysql://admin:{MASTER}@127.0.0.1:3306/");
        configure(directory, &self.source.root_url(), &target, &sections);
    }
}
