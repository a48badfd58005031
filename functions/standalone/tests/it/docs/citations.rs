//! Nothing in the repository cites a document that is not in it.

use std::path::PathBuf;

use crate::rules::root;

/// Documents that the project was designed from and that its readers do not have. Each word is written in two parts, so that
/// this file does not name them either.
const OUTSIDE: [(&str, &str); 12] = [
    ("DESIGN", " §"),
    ("DESIGN", ".md"),
    ("graph-", "facts"),
    ("cloud-", "facts"),
    ("callers", ".md"),
    ("surfaces", ".md"),
    ("graph-", "operations"),
    ("layout", ".md"),
    ("aws-", "notes"),
    ("performance", ".md"),
    ("toolchain", ".md"),
    ("house-", "style"),
];
const TEXTS: [&str; 9] = ["rs", "md", "toml", "yaml", "json", "py", "mjs", "js", "tsv"];

/// The text files of the repository, but for what is built or installed.
fn texts() -> Vec<(PathBuf, String)> {
    let mut waiting = vec![root()];
    let mut texts = Vec::new();
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let is_text = |ending: &str| TEXTS.contains(&ending);
            if path.is_dir() {
                if !name.starts_with('.') && name != "target" {
                    waiting.push(path);
                }
            } else if path
                .extension()
                .is_some_and(|one| is_text(one.to_str().unwrap()))
            {
                let text = std::fs::read_to_string(&path).unwrap();
                texts.push((path, text));
            }
        }
    }
    assert!(texts.len() > 300, "{} texts", texts.len());
    texts
}

#[test]
fn no_text_names_a_document_that_is_outside_the_repository() {
    for (path, text) in texts() {
        for (first, second) in OUTSIDE {
            let word = format!("{first}{second}");
            assert!(!text.contains(&word), "{}: {word}", path.display());
        }
    }
}

#[test]
fn every_page_of_docs_that_a_text_names_is_there() {
    let mut named = 0;
    for (path, text) in texts() {
        for (at, _) in text.match_indices("docs/") {
            let rest = &text[at..];
            let end = rest
                .find(|letter: char| !letter.is_ascii_alphanumeric() && !"/-_.".contains(letter));
            let page = &rest[..end.unwrap_or(rest.len())];
            let before = text[..at].chars().next_back();
            let is_ours =
                before.is_none_or(|letter| !letter.is_alphanumeric() && !"/.-_".contains(letter));
            if is_ours && page.ends_with(".md") {
                assert!(root().join(page).exists(), "{}: {page}", path.display());
                named += 1;
            }
            if let Some(number) = page
                .strip_prefix("docs/adr/")
                .filter(|number| number.len() == 4)
            {
                assert!(is_decision(number), "{}: {page}", path.display());
                named += 1;
            }
        }
    }
    assert!(named > 40, "{named} pages named");
}

fn is_decision(number: &str) -> bool {
    let folder = std::fs::read_dir(root().join("docs/adr")).unwrap();
    let names = folder.map(|entry| entry.unwrap().file_name());
    names
        .into_iter()
        .any(|name| name.to_str().unwrap().starts_with(number))
}
