//! `courier watch` on a terminal: a picture in its place, with colours only where they are wanted.

use std::io::Read;
use std::process::Stdio;

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tokio::process::Command;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::commands::stand_in::{StandIn, id, json_answer, operation};
use crate::process::program::PATIENCE;

/// Returns what `courier` writes to a terminal until it ends.
async fn on_a_terminal(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let end = open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_courier"));
    command
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::from(end))
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let _program = command.spawn().unwrap();
    // Its copy of the terminal's end is gone: what is left is the program's.
    drop(command);
    let shown = spawn_blocking(move || {
        let mut terminal = std::fs::File::from(terminal);
        let (mut shown, mut bytes) = (Vec::new(), [0; 4096]);
        // A terminal whose program has ended gives an error.
        while let Ok(count @ 1..) = terminal.read(&mut bytes) {
            shown.extend_from_slice(&bytes[..count]);
        }
        String::from_utf8_lossy(&shown).into_owned()
    });
    timeout(PATIENCE, shown)
        .await
        .expect("it does not end")
        .unwrap()
}

#[tokio::test]
async fn a_picture_is_drawn_anew_only_where_the_cursor_can_move_and_coloured_only_where_wanted() {
    let server = StandIn::start(|_, before| match before {
        0 => json_answer(202, &operation(&id(1), "running", false)),
        _ => json_answer(200, &operation(&id(1), "succeeded", true)),
    });
    let server = server.await;
    let (green, up, show_cursor) = ("\x1b[32m", "A\r\x1b[J", "\x1b[?25h");
    for (term, no_color, redraws, coloured) in [
        ("xterm", "", true, true),
        ("xterm", "1", true, false),
        ("dumb", "", false, false),
    ] {
        let variables = [
            ("COURIER_URL", server.url.as_str()),
            ("COURIER_API_KEY", "k"),
            ("TERM", term),
            ("NO_COLOR", no_color),
        ];
        let shown = on_a_terminal(&["watch", &id(1)], &variables).await;
        assert!(shown.contains("succeeded"), "{term}: {shown:?}");
        assert_eq!(shown.contains(show_cursor), redraws, "{term}: {shown:?}");
        assert_eq!(
            shown.contains(green),
            coloured,
            "{term} {no_color}: {shown:?}"
        );
        assert!(redraws || !shown.contains('\x1b'), "{shown:?}");
        // The first of the three sees it run, so its picture is drawn over.
        let is_first = coloured;
        assert!(!is_first || shown.contains(up), "{shown:?}");
    }
}
