//! `courier verify`: checks evidence without a server, and says what it proves and what not.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use courier_core::crypto::evidence_keys::PublicKey;
use courier_core::evidence::verdict::{Against, Verdict, verify};
use courier_core::operation::Hash;
use serde_json::json;

use crate::failure::Usage;
use crate::output;
use crate::terminal::{Screen, Tone, json_line, toned};

/// Most bytes of a file that is read: a statement of 150 entries has a tenth of a megabyte.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The file with the evidence; `-` is standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A public key that is trusted: 32 bytes in base64, or a file with it, with a PEM or with a JWK Set. It may be given
    /// several times.
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<String>,
    /// A head that was noted at some time, `sha256:` and 64 digits: the evidence must contain it.
    #[arg(long, value_name = "HASH")]
    head: Option<String>,
    /// A file with the body of a completion: the evidence must contain its head, and be of the same outcome.
    #[arg(long, value_name = "FILE")]
    completion: Option<PathBuf>,
    /// Prints the verdict as JSON, on one line.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let envelope = read(&arguments.file)?;
    let mut keys = Vec::new();
    for key in &arguments.keys {
        keys.extend(public_keys(key)?);
    }
    let head = arguments.head.as_deref().map(|text| {
        Hash::parse(text.trim())
            .ok_or_else(|| Usage::error("--head must be sha256: and 64 hexadecimal digits"))
    });
    let completion = arguments.completion.as_deref().map(read).transpose()?;
    let verdict = verify(
        &envelope,
        &Against {
            keys: &keys,
            head: head.transpose()?,
            completion: completion.as_deref(),
        },
    );
    let text = match arguments.json {
        true => json_line(&json!({
            "verified": verdict.holds(), "says": verdict.says, "proven": verdict.proven,
            "wrong": verdict.wrong, "notProven": verdict.not_proven,
        })),
        false => lines(&verdict, &Screen::of_output()),
    };
    output::print(&text)?;
    Ok(ExitCode::from(
        match (verdict.holds(), verdict.wrong.is_empty()) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => 2,
        },
    ))
}

/// Returns the verdict for people: the conclusion first.
fn lines(verdict: &Verdict, screen: &Screen) -> String {
    let (tone, conclusion) = match (verdict.holds(), verdict.wrong.is_empty()) {
        (true, _) => (Tone::Good, "The evidence holds."),
        (false, false) => (Tone::Bad, "The evidence does not hold."),
        (false, true) => (
            Tone::Warning,
            "Nothing is wrong, but nobody is known to have signed it.",
        ),
    };
    let of = |label: &str, sentences: &[String]| -> Vec<Vec<String>> {
        let row = |sentence: &String| vec![label.to_owned(), crate::terminal::shown(sentence)];
        sentences.iter().map(row).collect()
    };
    let mut rows = of("it says", &verdict.says);
    rows.extend(of("wrong", &verdict.wrong));
    rows.extend(of("proven", &verdict.proven));
    rows.extend(of("not proven", &verdict.not_proven));
    let conclusion = screen.paint(&toned(tone, conclusion));
    format!("{conclusion}\n{}", screen.table(&[], rows))
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let unreadable =
        |error: std::io::Error| Usage::error(format!("{} cannot be read: {error}", file.display()));
    let source: Box<dyn Read> = if file == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(file).map_err(unreadable)?)
    };
    let mut bytes = Vec::new();
    source
        .take(MAX_BYTES)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    Ok(bytes)
}

/// Reads the keys of an argument: a file where there is one, else the key itself.
fn public_keys(argument: &str) -> anyhow::Result<Vec<PublicKey>> {
    let file = Path::new(argument);
    let text = match file.is_file() {
        true => String::from_utf8_lossy(&read(file)?).into_owned(),
        false => argument.to_owned(),
    };
    PublicKey::parse_all(&text).map_err(|rule| Usage::error(format!("--key {rule}")))
}
