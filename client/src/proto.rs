//! The contract, generated from `proto/leasehold/v1`. Nothing else of this crate needs it: its own
//! types, such as [`Election`](crate::Election), can be made from messages and turned into them.

pub use leasehold_proto::v1::*;
