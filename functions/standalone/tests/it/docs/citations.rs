//! Whatever a text of the repository points at is in the repository.

use std::path::{Path, PathBuf};

/// The page whose headings code cites.
const BEHAVIOUR: &str = "docs/graph-behaviour.md";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// Every text of the repository, by its path from the root.
fn texts() -> Vec<(String, String)> {
    let root = root();
    let endings = [
        "rs", "md", "toml", "yaml", "py", "mjs", "js", "sh", "c", "sql",
    ];
    let mut waiting = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let ending = path.extension().and_then(|ending| ending.to_str());
            if path.is_dir() {
                // What is built, and what tools keep for themselves, is not ours.
                let foreign = name == "target" || name.starts_with('.') && name != ".ci";
                let built = name == "node_modules" || name == "__pycache__";
                if !foreign && !built {
                    waiting.push(path);
                }
            } else if name == "justfile" || ending.is_some_and(|ending| endings.contains(&ending)) {
                let text = std::fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(&root).unwrap();
                found.push((path.to_str().unwrap().to_owned(), text));
            }
        }
    }
    found
}

/// Names of documents that its authors had and its readers have not, in two halves: this file is read too.
fn outside() -> Vec<String> {
    let halves = [
        ("DES", "IGN"),
        ("graph-", "facts"),
        ("cloud-", "facts"),
        ("call", "ers.md"),
        ("surf", "aces.md"),
        ("graph-", "operations"),
        ("lay", "out.md"),
        ("design", " card"),
        ("aws-", "notes"),
        ("tool", "chain.md"),
        ("house-", "style"),
        ("wire-", "faults"),
        ("user-", "trials"),
    ];
    halves
        .iter()
        .map(|(start, end)| format!("{start}{end}"))
        .collect()
}

/// The targets of `[…](target)` that lie in the repository: no address of the web, no heading of the same page.
fn links(markdown: &str) -> Vec<&str> {
    let mut outside_code = true;
    let lines = markdown.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        outside_code ^= fence;
        outside_code && !fence
    });
    let mut found = Vec::new();
    for line in lines {
        for rest in line.split("](").skip(1) {
            let target = rest.split([')', ' ']).next().unwrap();
            let path = target.split('#').next().unwrap();
            if !path.is_empty() && !path.contains(':') {
                found.push(path);
            }
        }
    }
    found
}

/// Mentions of `docs/….md` and of decisions by their number. What stands in a longer path or address is no mention.
fn mentions(text: &str) -> Vec<&str> {
    let part_of_path = |letter: char| letter.is_ascii_alphanumeric() || "/._-".contains(letter);
    let mut found = Vec::new();
    for (start, _) in text.match_indices("docs/") {
        let before = text[..start].trim_end_matches("../");
        if before.ends_with(part_of_path) {
            continue;
        }
        let rest = &text[start..];
        let end = rest.find(|letter: char| !part_of_path(letter));
        let path = &rest[..end.unwrap_or(rest.len())];
        let path = path.trim_end_matches(['.', '/']);
        if path.ends_with(".md") || path.starts_with("docs/adr/") {
            found.push(path);
        }
    }
    found
}

/// A decision may be cited by its number alone: `docs/adr/0002`.
fn exists(path: &str) -> bool {
    let full = root().join(path);
    let name = full.file_name().unwrap().to_string_lossy().into_owned();
    let folder = full.parent().unwrap();
    let numbered = |folder: &Path| {
        let mut names = std::fs::read_dir(folder).into_iter().flatten();
        names.any(|entry| {
            let entry = entry.unwrap().file_name();
            entry.to_string_lossy().starts_with(&format!("{name}-"))
        })
    };
    full.exists() || path.starts_with("docs/adr/") && numbered(folder)
}

#[test]
fn nothing_cites_a_document_that_is_not_in_the_repository() {
    let outside = outside();
    let texts = texts();
    assert!(texts.len() > 200, "{}", texts.len());
    let mut wrong = Vec::new();
    for (path, text) in &texts {
        for (number, line) in text.lines().enumerate() {
            let words = outside.iter().filter(|word| line.contains(word.as_str()));
            wrong.extend(words.map(|word| format!("{path}:{}: {word}", number + 1)));
        }
        let mentioned = mentions(text).into_iter().filter(|target| !exists(target));
        wrong.extend(mentioned.map(|target| format!("{path}: {target}")));
        if path.ends_with(".md") {
            let folder = root().join(path).parent().unwrap().to_owned();
            let broken = links(text)
                .into_iter()
                .filter(|target| !folder.join(target).exists());
            wrong.extend(broken.map(|target| format!("{path}: ({target})")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_cited_heading_of_the_behaviour_page_is_there() {
    let page = std::fs::read_to_string(root().join(BEHAVIOUR)).unwrap();
    let headings: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("## ")?.split_once(". "))
        .map(|(_, heading)| heading)
        .collect();
    assert!(headings.len() > 5);
    let cited = format!("{BEHAVIOUR}, ");
    let mut citations = 0;
    for (path, text) in texts() {
        // Decisions put the path in backticks.
        let text = text.replace('`', "");
        let rests = text.split(&cited).skip(1);
        // A heading begins with a capital; what follows otherwise is the rest of a sentence.
        for rest in rests.filter(|rest| rest.starts_with(|first: char| first.is_uppercase())) {
            let known = headings.iter().any(|heading| rest.starts_with(heading));
            let line = rest.lines().next().unwrap_or_default();
            assert!(known, "{path}: {line}");
            citations += 1;
        }
    }
    assert!(citations > 10, "{citations}");
}

#[test]
fn every_file_that_the_behaviour_page_names_is_there() {
    let page = std::fs::read_to_string(root().join(BEHAVIOUR)).unwrap();
    let quoted = page.split('`').skip(1).step_by(2);
    let is_file = |name: &&str| name.ends_with(".rs") || name.ends_with(".toml");
    for name in quoted.filter(is_file) {
        let core = root().join("shared/courier-core/src").join(name);
        assert!(core.exists() || root().join(name).exists(), "{name}");
    }
}

#[test]
fn links_and_mentions_are_found_where_they_are() {
    let markdown = "[a](x/b.md#c) [d](https://e.example) [f](#g)\n```\n[h](i)\n```\n[j](../k)";
    assert_eq!(links(markdown), ["x/b.md", "../k"]);
    let directory = ["do", "cs/"].concat();
    let text = "`D/a.md`, D/adr/0001; ../../D/b-c.md. https://x.example/D/no.md D/d.http D/e/"
        .replace("D/", &directory);
    let found = ["a.md", "adr/0001", "b-c.md"].map(|name| format!("{directory}{name}"));
    assert_eq!(mentions(&text), found);
}
