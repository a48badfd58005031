//! Lists the shipped catalogue files, so that a new one needs no line of code.

use std::path::Path;
use std::{env, fs, io};

#[expect(
    clippy::disallowed_methods,
    reason = "Cargo tells a build script in the environment where to read and write"
)]
fn main() -> io::Result<()> {
    let root = env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?;
    let directory = Path::new(&root).join("catalogue");
    println!("cargo::rerun-if-changed={}", directory.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(&directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        // The simulator's part of an operation is no part of this program.
        if name.ends_with(".toml") && !name.ends_with(".sim.toml") {
            names.push(name);
        }
    }
    names.sort();
    let mut code = format!("const FILES: [(&str, &str); {}] = [\n", names.len());
    for name in names {
        let path = directory.join(&name);
        code.push_str(&format!("    ({name:?}, include_str!({path:?})),\n"));
    }
    code.push_str("];\n");
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    fs::write(Path::new(&out).join("catalogue_files.rs"), code)
}
