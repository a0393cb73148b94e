//! Where the data go: definitions, rows, indexes, objects.

pub mod ddl;
pub mod ledger;
pub mod load;
pub mod rows;
pub mod schema;
pub mod indexes;
