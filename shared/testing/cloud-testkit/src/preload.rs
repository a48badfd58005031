//! Small C libraries that a process gets preloaded: what it asks the system then goes through them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::python;

/// The library of this source, compiled on first use with the system's C compiler.
pub(crate) fn library(name: &str, source: &str) -> PathBuf {
    let file = format!("{name}-{}", python::digest(source.as_bytes()));
    let place = python::target(name).join(file);
    let _lock = python::lock(&place);
    let library = place.with_extension("so");
    if !library.is_file() {
        let (code, draft) = (place.with_extension("c"), place.with_extension("draft"));
        fs::write(&code, source)
            .unwrap_or_else(|error| panic!("{} cannot be written: {error}", code.display()));
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O2", "-Wall", "-o"]);
        python::run(compiler.arg(&draft).arg(&code).arg("-ldl"));
        fs::rename(&draft, &library)
            .unwrap_or_else(|error| panic!("{} cannot be made: {error}", library.display()));
    }
    library
}

/// The environment of a process that gets several libraries.
pub fn together(environments: &[Vec<(String, String)>]) -> Vec<(String, String)> {
    let all = environments.iter().flatten();
    let (libraries, mut others): (Vec<_>, Vec<_>) =
        all.cloned().partition(|(name, _)| name == "LD_PRELOAD");
    let libraries: Vec<String> = libraries.into_iter().map(|(_, path)| path).collect();
    others.push(("LD_PRELOAD".to_owned(), libraries.join(":")));
    others
}
