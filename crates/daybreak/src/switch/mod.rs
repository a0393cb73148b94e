//! The switch: writes move from the source to the target.
