//! Compiles `proto/` with a compiler written in Rust, so that nobody needs protoc.

use prost::Message as _;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto/leasehold");
    let set = protox::compile(
        ["leasehold/v1/election.proto", "leasehold/v1/admin.proto", "leasehold/v1/replica.proto"],
        ["proto"],
    )?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("leasehold.bin"), set.encode_to_vec())?;
    tonic_prost_build::configure()
        .codec_path("crate::codec::Lean")
        .build_client(std::env::var_os("CARGO_FEATURE_CLIENT").is_some())
        .build_server(std::env::var_os("CARGO_FEATURE_SERVER").is_some())
        .compile_fds(set)?;
    Ok(())
}
