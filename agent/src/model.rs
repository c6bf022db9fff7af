//! The vocabulary of the rooms: what is counted, whose it is, and the bytes that travel.
//!
//! Plain values and the ledger that accounts for them. This room knows no I/O, no async runtime, no
//! protobuf and no Kubernetes crate.

pub mod attr;
pub mod call;
mod component;
mod heartbeat;
pub mod histogram;
mod ledger;
pub mod metric;
mod notice;
mod payload;
pub mod pod;
pub mod process;
mod reason;
mod resource;
mod signal;
mod size;
mod tally;
pub mod time;
pub mod trace;

pub use component::Component;
pub use heartbeat::{Heartbeat, Watchdog, Working};
pub use ledger::{Account, Held, Ledger};
pub use notice::Notice;
pub use payload::Payload;
pub use reason::DropReason;
pub use resource::ResourceAttributes;
pub use signal::Signal;
pub use size::ByteSize;
pub use tally::Tally;
