//! Talking to MySQL-compatible servers: connections, names, versions, GTID sets, the catalog, and
//! ranges of keys. Nothing here knows about migrations.

pub mod activity;
pub mod catalog;
pub mod charset;
pub mod chunk;
pub mod client;
pub mod connection;
pub mod dialect;
pub mod gtid;
pub mod identifier;
mod left_out;
pub mod position;
mod reference;
pub mod session;
mod silence;
mod system;
pub mod url;
pub mod wire;

pub use catalog::{Catalog, Column, Index, IndexPart, Table};
pub use chunk::{ChunkKey, KeyRange, KeyTuple};
pub use connection::ConnectionId;
pub use dialect::{Dialect, Product};
pub use gtid::GtidSet;
pub use identifier::{TableName, quote, quote_text};
pub use position::{Coordinates, FilePosition};
pub(crate) use reference::Reference;
pub use session::{
    AnySession, Outcome, PACKETS, PATIENT_SECONDS, ReaderSession, Session, Side, VALUE_TOO_LARGE,
};
pub use silence::Watch;
pub use system::is_system_table;
pub use url::{Protection, Secret, ServerUrl, TlsMode};
