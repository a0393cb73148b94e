//! Looking at real backups, whole and damaged: what they are, whether they are whole, what Aurora says.

#[path = "inspect/beforehand.rs"]
mod beforehand;
#[path = "inspect/bent.rs"]
mod bent;
#[path = "inspect/chains.rs"]
mod chains;
#[path = "inspect/damage.rs"]
mod damage;
#[path = "inspect/fuzz.rs"]
mod fuzz;
#[path = "inspect/lost.rs"]
mod lost;
#[path = "inspect/mariadb.rs"]
mod mariadb;
#[path = "inspect/memory.rs"]
mod memory;
#[path = "inspect/restored.rs"]
mod restored;
#[path = "inspect/rules.rs"]
mod rules;
#[path = "inspect/samples.rs"]
mod samples;
#[path = "inspect/servers.rs"]
mod servers;
#[path = "inspect/streams.rs"]
mod streams;
#[path = "inspect/told_apart.rs"]
mod told_apart;
