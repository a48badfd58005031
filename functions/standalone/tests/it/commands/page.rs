//! What the program says of itself: the reference page has every command and flag, and so have completions and man pages.

use crate::process::program::run;
use crate::rules::read;

/// Returns the names that stand at the beginning of lines of a help's section.
fn names<'a>(help: &'a str, section: &str) -> Vec<&'a str> {
    let lines = help.lines().skip_while(|line| *line != section).skip(1);
    let lines = lines.take_while(|line| line.is_empty() || line.starts_with(' '));
    lines
        .filter(|line| line.len() - line.trim_start().len() <= 6)
        .filter_map(|line| line.trim().split(' ').next())
        .filter(|name| !name.is_empty())
        .collect()
}

#[tokio::test]
async fn the_page_the_completions_and_the_manual_have_every_command_and_its_flags() {
    let directory = tempfile::tempdir().unwrap();
    let manual = directory.path().join("man");
    let written = run(&["man", manual.to_str().unwrap()], &[]).await;
    assert_eq!(written.code, Some(0), "{written:?}");
    let completions = run(&["completions", "bash"], &[]).await.stdout;
    let page = read("docs/reference/command-line.md");
    let help = run(&["--help"], &[]).await.stdout;
    let commands = names(&help, "Commands:");
    assert!(commands.len() > 15, "{commands:?}");
    for command in commands.into_iter().filter(|name| *name != "help") {
        assert!(
            page.contains(&format!("`courier {command}")),
            "the page lacks {command}"
        );
        assert!(completions.contains(command), "{command}");
        let manual = std::fs::read_to_string(manual.join(format!("courier-{command}.1")));
        let manual = manual.unwrap().replace("\\-", "-");
        let help = run(&[command, "--help"], &[]).await.stdout;
        for flag in names(&help, "Options:") {
            if flag.starts_with("--") {
                assert!(
                    ["`", "["]
                        .iter()
                        .any(|before| page.contains(&format!("{before}{flag}"))),
                    "the page lacks {flag} of {command}"
                );
                assert!(
                    manual.contains(flag),
                    "the manual of {command} lacks {flag}"
                );
            }
        }
    }
}
