//! Where the data go: definitions, rows, indexes, objects.

pub mod ddl;
pub mod schema;
