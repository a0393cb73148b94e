//! MySQL 5.6 to the Aurora stand-in (9.7), by file and position, as an operator does it: the verbs of
//! the built program in their order, under a writer that never stops. And each trap of that pair.

#[path = "pairs56/killed.rs"]
mod killed;
#[path = "pairs56/pair.rs"]
mod pair;
mod support;
#[path = "pairs56/traps.rs"]
mod traps;
#[path = "pairs56/whole.rs"]
mod whole;
