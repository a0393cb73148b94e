//! `daybreak upload`, the real program, to the S3 endpoint on loopback.

#[path = "upload/faults.rs"]
mod faults;
#[path = "upload/forms.rs"]
mod forms;
#[path = "upload/killed.rs"]
mod killed;
#[path = "upload/memory.rs"]
mod memory;
#[path = "upload/refused.rs"]
mod refused;
#[path = "upload/stage.rs"]
mod stage;
