//! Physical backups of a real MariaDB under the project's writer, by the built program as a user runs
//! it: chains, streams, what goes wrong, and what is left when something is killed.

#[path = "support/across.rs"]
mod across;
#[path = "backups/chain.rs"]
mod chain;
#[path = "backups/configured.rs"]
mod configured;
#[path = "support/disk.rs"]
mod disk;
#[path = "backups/failures.rs"]
mod failures;
#[path = "backups/killed.rs"]
mod killed;
#[path = "backups/place.rs"]
mod place;
#[path = "backups/progress.rs"]
mod progress;
#[path = "backups/sent.rs"]
mod sent;
#[path = "backups/streams.rs"]
mod streams;
mod support;
#[path = "backups/two_hosts.rs"]
mod two_hosts;
