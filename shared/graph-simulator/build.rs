//! Lists the operations of the catalogue that have a simulation beside them, so that they are embedded without a list
//! kept by hand.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

/// The folder with `NAME.toml` and `NAME.sim.toml`, seen from this package.
const CATALOGUE: &str = "../courier-core/catalogue";
const SUFFIX: &str = ".sim.toml";

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(CATALOGUE);
    println(&format!("cargo::rerun-if-changed={}", folder.display()))?;
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let file = entry?.file_name();
        let name = file.to_str().and_then(|file| file.strip_suffix(SUFFIX));
        // A simulation without its operation stands for nothing yet.
        if let Some(name) = name
            && folder.join(format!("{name}.toml")).is_file()
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    let mut code = String::from("const EMBEDDED: &[(&str, &str)] = &[\n");
    for name in names {
        let path = |suffix: &str| folder.join(format!("{name}{suffix}"));
        writeln!(
            code,
            "    (include_str!({:?}), include_str!({:?})),",
            path(".toml"),
            path(SUFFIX)
        )?;
    }
    code.push_str("];\n");
    fs::write(Path::new(&output()?).join("embedded.rs"), code)?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "Cargo says it in no other way")]
fn output() -> Result<String, std::env::VarError> {
    std::env::var("OUT_DIR")
}

/// Tells Cargo something.
fn println(line: &str) -> io::Result<()> {
    use io::Write as _;
    writeln!(io::stdout(), "{line}")
}
