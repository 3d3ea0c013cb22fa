//! Makes the types of docs/schemas/message.proto. It needs no `protoc`.

use std::error::Error;

const SCHEMAS: &str = "../../docs/schemas";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={SCHEMAS}/message.proto");
    let files = protox::compile(["message.proto"], [SCHEMAS])?;
    Ok(prost_build::Config::new().compile_fds(files)?)
}
