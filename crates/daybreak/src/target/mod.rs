//! Where the data go: definitions, rows, indexes, objects.

pub mod accounts;
pub mod ddl;
pub(crate) mod document;
pub mod indexes;
pub mod ledger;
pub mod load;
pub mod objects;
pub mod register;
pub mod restore;
pub mod rows;
pub mod schema;
