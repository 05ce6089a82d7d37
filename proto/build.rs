//! Makes Rust of `schema/*.proto` with the pure-Rust parser: no `protoc` is needed.

use protobuf_codegen::{Codegen, Customize};

const SCHEMA: [&str; 5] = [
    "schema/id.proto",
    "schema/event.proto",
    "schema/row.proto",
    "schema/placement.proto",
    "schema/frame.proto",
];

fn main() {
    println!("cargo::rerun-if-changed=schema");
    let customize = Customize::default()
        .lite_runtime(true)
        .tokio_bytes(true)
        .btreemaps(true)
        .generate_accessors(false)
        .generate_getter(false);
    Codegen::new()
        .pure()
        .include("schema")
        .inputs(SCHEMA)
        .customize(customize)
        .cargo_out_dir("schema")
        .run_from_script();
}
