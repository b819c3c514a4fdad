//! The contract of Leasehold, generated from `proto/leasehold/v1`: messages, clients and servers,
//! and nothing else.

pub mod codec;

/// Package `leasehold.v1`.
#[allow(clippy::all, missing_docs)]
pub mod v1 {
    tonic::include_proto!("leasehold.v1");
}

/// The encoded `google.protobuf.FileDescriptorSet` of the contract, for gRPC reflection and JSON.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/leasehold.bin"));
