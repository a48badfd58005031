//! The demo as somebody sees it: what is told in which order, colours, a pipe that is closed; and the help of all commands.

use std::io::{BufRead, BufReader, Read};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tokio::process::Command;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::process::deployment::{config, file};
use crate::process::program::{Courier, PATIENCE, SEAL_KEY, run};

const OPERATIONS: [&str; 3] = [
    "user.exportPersonalData",
    "goals.exportJob",
    "team.schedule",
];
/// The beginnings of an operation's lines, causes first. Polls, and what Graph says, stand where "" is.
const STORY: [&str; 10] = [
    "→ POST",
    "accepted",
    "start claimed",
    "started",
    "",
    "ended: succeeded",
    "called back",
    "receiver said 204",
    "told by event",
    "receiver of events said 204",
];

#[tokio::test]
async fn the_demo_tells_three_stories_from_cause_to_effect_in_plain_lines_and_ends_well() {
    let began = Instant::now();
    let ended = run(&["demo", "--once"], &[]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(began.elapsed() < Duration::from_secs(30));
    let verified = ": signature verified";
    assert_eq!(ended.stdout.matches(verified).count(), 6, "{ended:?}");
    assert!(ended.stdout.contains("All three ended as expected."));
    assert!(!ended.stdout.contains('\u{1b}'), "colours in a pipe");
    assert_eq!(ended.stderr, "", "nothing to warn of");
    for operation in OPERATIONS {
        let parts = ended.stdout.lines().filter_map(|line| {
            let (_, told) = line.split_once(operation)?;
            Some(told.trim_start())
        });
        // The last one is the conclusion.
        let mut told: Vec<&str> = parts.collect();
        assert!(told.pop().unwrap().starts_with("succeeded, called back"));
        let polls = |told: &&str| told.starts_with("asked Graph") || told.starts_with("Graph says");
        let mut places = Vec::new();
        for line in told {
            if line.starts_with("← 202") {
                continue;
            }
            let found = STORY
                .iter()
                .position(|step| !step.is_empty() && line.starts_with(step));
            let place = found.or_else(|| polls(&line).then_some(4));
            places.push(place.unwrap_or_else(|| panic!("{line:?} is no part of the story")));
        }
        assert!(places.is_sorted(), "{operation}: {}", ended.stdout);
        places.dedup();
        assert_eq!(places, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], "{}", ended.stdout);
    }
}

#[tokio::test]
async fn a_demo_that_does_not_come_to_its_end_exits_1() {
    let demo = Courier::start(&["demo", "--once"], &[]);
    demo.says("202 Accepted").await;
    demo.signal("INT").await;
    let ended = demo.ended().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stdout.contains("Not all three ended as expected."));
}

/// What the demo, logging too, shows on a terminal until the first operation is accepted.
async fn on_a_terminal(variables: &[(&str, &str)]) -> String {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let end = open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    let other = end.try_clone().unwrap();
    let _demo = Command::new(env!("CARGO_BIN_EXE_courier"))
        .args(["demo", "--once"])
        .env_clear()
        .env("COURIER_LOG", "info")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::from(end))
        .stderr(Stdio::from(other))
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let shown = spawn_blocking(move || {
        let mut terminal = std::fs::File::from(terminal);
        let (mut shown, mut bytes) = (String::new(), [0; 4096]);
        while !shown.contains("202 Accepted") {
            // A terminal whose program has ended gives an error.
            let Ok(count @ 1..) = terminal.read(&mut bytes) else {
                break;
            };
            shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        shown
    });
    let shown = timeout(PATIENCE, shown);
    let shown = shown.await.expect("it does not come to an answer").unwrap();
    assert!(shown.contains("202 Accepted"), "{shown}");
    assert!(shown.contains("operation changed"), "no log: {shown}");
    shown
}

#[tokio::test]
async fn colours_are_for_terminals_that_want_them() {
    for (variables, coloured) in [
        ([("TERM", "xterm"), ("NO_COLOR", "")], true),
        ([("TERM", "xterm"), ("NO_COLOR", "0")], false),
        ([("TERM", "dumb"), ("NO_COLOR", "")], false),
    ] {
        let shown = on_a_terminal(&variables).await;
        let told: Vec<&str> = shown
            .lines()
            .filter(|line| line.contains("202") || line.contains("operation changed"))
            .collect();
        assert!(told.len() > 1, "{shown}");
        for line in told {
            assert_eq!(line.contains('\u{1b}'), coloured, "{variables:?} {line:?}");
        }
        assert_eq!(shown.contains('\u{1b}'), coloured, "{variables:?} {shown}");
    }
}

/// Runs `courier` with a reader that wants so many lines and then closes the pipe.
async fn with_reader(arguments: &[&str], lines: usize) -> Output {
    let (reader, writer) = std::io::pipe().unwrap();
    // Who wants none has gone before anything is written.
    let reader = (lines > 0).then_some(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_courier"));
    command
        .args(arguments)
        .env_clear()
        .env("SEAL_KEY", SEAL_KEY)
        .stdin(Stdio::null())
        .stdout(Stdio::from(writer))
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let child = command.spawn().unwrap();
    // Its copy of the writing end is gone: what is left is the child's.
    drop(command);
    if let Some(reader) = reader {
        let read = spawn_blocking(move || BufReader::new(reader).lines().take(lines).count());
        assert_eq!(read.await.unwrap(), lines);
    }
    let ended = timeout(PATIENCE, child.wait_with_output());
    ended.await.expect("it does not end").unwrap()
}

#[tokio::test]
async fn a_closed_pipe_is_no_error() {
    let directory = tempfile::tempdir().unwrap();
    let text = config("http://127.0.0.1:9", "http://127.0.0.1:8");
    let text = [
        "GRAPH_SECRET",
        "REFRESH_TOKEN",
        "SIGNING_NEW",
        "SIGNING_OLD",
    ]
    .iter()
    .fold(text, |text, name| {
        text.replace(&format!("env:{name}"), "file:secret")
    });
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let secret = file(directory.path(), "secret", secret);
    let text = text.replace("file:secret", &format!("file:{secret}"));
    let path = file(directory.path(), "courier.toml", &text);
    let check = ["check", "--config", &path];
    let commands: [(&[&str], usize); 11] = [
        (&["demo", "--once"], 0),
        (&["demo", "--once"], 1),
        (&["demo"], 8),
        (&check, 0),
        (&check, 1),
        (&["key", "new"], 0),
        (&["key", "new", "--seal-key"], 1),
        (&["simulate-graph", "--listen=127.0.0.1:0"], 0),
        (&["--help"], 0),
        (&["serve", "--help"], 1),
        (&["--version"], 0),
    ];
    for (arguments, lines) in commands {
        let ended = with_reader(arguments, lines).await;
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(said, "", "{arguments:?} after {lines} lines");
        let code = ended.status.code();
        assert_eq!(code, Some(0), "{arguments:?} after {lines} lines");
    }
}

#[tokio::test]
async fn output_that_cannot_be_written_is_an_error() {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_courier"));
    let command = command.args(["key", "new"]).stdout(full);
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    let ended = child.wait_with_output().await.unwrap();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("cannot be written to"), "{said}");
}

/// The lines of a section of a help: what is described, and its description.
fn described(help: &str, section: &str) -> Vec<(String, String)> {
    let lines = help.lines().skip_while(|line| *line != section).skip(1);
    let lines = lines.take_while(|line| line.is_empty() || line.starts_with(' '));
    let mut described: Vec<(String, String)> = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let deep = line.len() - line.trim_start().len() > 6;
        let text = line.trim();
        let (name, rest) = text.split_once("  ").unwrap_or((text, ""));
        if deep && let Some((_, description)) = described.last_mut() {
            // A default is no help.
            if !text.starts_with('[') {
                description.push_str(text);
            }
        } else {
            described.push((name.to_owned(), rest.trim().to_owned()));
        }
    }
    described
}

#[tokio::test]
async fn every_command_and_every_argument_has_a_help() {
    let mut waiting = vec![Vec::new()];
    let mut seen = Vec::new();
    while let Some(command) = waiting.pop() {
        let mut arguments: Vec<&str> = command.iter().map(String::as_str).collect();
        arguments.push("--help");
        let ended = run(&arguments, &[]).await;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        let help = ended.stdout;
        for section in ["Commands:", "Arguments:", "Options:"] {
            for (name, description) in described(&help, section) {
                let sentence = description.split_whitespace().count() > 1;
                assert!(sentence, "{command:?}: {name} has no help\n{help}");
                if section == "Commands:" && name != "help" {
                    waiting.push([command.clone(), vec![name.clone()]].concat());
                }
                seen.push(name);
            }
        }
    }
    for name in ["demo", "serve", "check", "key", "new", "simulate-graph"] {
        assert!(seen.iter().any(|one| one == name), "{name}: {seen:?}");
    }
    let listens = seen.iter().filter(|name| name.starts_with("--listen"));
    assert_eq!(listens.count(), 5, "{seen:?}");
}

#[tokio::test]
async fn the_help_of_the_simulator_tells_json_from_toml() {
    let help = run(&["simulate-graph", "--help"], &[]).await.stdout;
    let paragraph = help.lines().find(|line| line.contains("`POST /__script`"));
    let paragraph = paragraph.unwrap();
    assert!(paragraph.contains("JSON"), "{help}");
    assert!(paragraph.contains("TOML"), "{help}");
}
