//! The switch: writes move from the source to the target.

pub mod clean_up;
pub mod cut_over;
pub mod hook;
