//! `courier completions` and `courier man`: what the command line says about itself, for shells and for `man`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Command, CommandFactory};
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::output;

const NAME: &str = "courier";

/// Writes the completions of a shell to standard output.
pub(crate) fn completions(shell: Shell) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), NAME, &mut script);
    output::print(&String::from_utf8(script)?)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes `courier.1`, and `courier-NAME.1` for each command.
pub(crate) fn pages(directory: &Path) -> anyhow::Result<ExitCode> {
    let place = directory.display();
    std::fs::create_dir_all(directory)
        .with_context(|| format!("the directory {place} cannot be made"))?;
    let command: Command = Arguments::command().name(NAME);
    clap_mangen::generate_to(command, directory)
        .with_context(|| format!("the pages cannot be written to {place}"))?;
    output::print(&format!(
        "The pages are in {place}: man {place}/courier.1\n"
    ))?;
    Ok(ExitCode::SUCCESS)
}
