//! The movable clock, as processes see it that know nothing of it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use cloud_testkit::clock::ShiftedClock;
use cloud_testkit::python;
use jiff::Timestamp;

const DAYS: Duration = Duration::from_secs(3 * 24 * 3600);

/// Says in milliseconds what each of the C library's clocks shows, a line for a line.
const TELL: &str = "
import ctypes, sys, time
c = ctypes.CDLL(None)
c.time.restype = ctypes.c_long
pair = (ctypes.c_long * 2)()
for line in sys.stdin:
    c.gettimeofday(pair, None)
    print(time.time_ns() // 1000000, c.time(None) * 1000, pair[0] * 1000 + pair[1] // 1000, time.monotonic_ns() // 1000000, flush=True)
";

#[test]
fn a_running_program_sees_the_wall_clock_move_and_the_monotonic_one_not() {
    let clock = ShiftedClock::new();
    let mut child = Command::new(python::ministack().join("python3"))
        .args(["-c", TELL])
        .envs(clock.environment())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut ask = || -> Vec<i64> {
        let (mut line, before) = (String::new(), clock.now().as_millisecond());
        writeln!(input, "now").unwrap();
        output.read_line(&mut line).unwrap();
        let reported: Vec<i64> = line
            .split(' ')
            .map(|word| word.trim().parse().unwrap())
            .collect();
        let after = clock.now().as_millisecond();
        assert!(
            (before..=after).contains(&reported[0]),
            "{before} {reported:?} {after}"
        );
        assert!(
            (before - 999..=after).contains(&reported[1]),
            "{before} {reported:?} {after}"
        );
        assert!(
            (before..=after).contains(&reported[2]),
            "{before} {reported:?} {after}"
        );
        reported
    };
    let first = ask();
    clock.advance(DAYS);
    let second = ask();
    clock.advance(Duration::from_nanos(1_999_999_999));
    ask();
    clock.set_back(2 * DAYS + Duration::from_nanos(1_999_999_999));
    let third = ask();
    assert!(second[0] - first[0] >= 3 * 24 * 3_600_000);
    assert!(
        third[0] < first[0] - 2 * 24 * 3_600_000,
        "the clock was set back"
    );
    assert!(
        (0..60_000).contains(&(third[3] - first[3])),
        "the monotonic clock has moved"
    );
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_rust_program_sees_the_shifted_clock() {
    let clock = ShiftedClock::new();
    clock.advance(DAYS);
    let before = clock.now();
    let this = std::env::current_exe().unwrap();
    let output = Command::new(this)
        .args([
            "--exact",
            "clock::says_the_time",
            "--ignored",
            "--nocapture",
        ])
        .envs(clock.environment())
        .output()
        .unwrap();
    let after = clock.now();
    let text = String::from_utf8_lossy(&output.stdout);
    let reported = text
        .split("the time is ")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next());
    let reported: Timestamp = reported
        .unwrap_or_else(|| panic!("{text}"))
        .parse()
        .unwrap();
    assert!(
        before <= reported && reported <= after,
        "{before} {reported} {after}"
    );
}

#[test]
#[ignore = "the program of the test above"]
fn says_the_time() {
    #[expect(clippy::disallowed_methods, reason = "this is what is tested")]
    let now = SystemTime::now();
    let millis = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_millis();
    let now = Timestamp::from_millisecond(i64::try_from(millis).unwrap()).unwrap();
    println!("the time is {now}");
}

#[test]
fn a_program_with_the_library_but_without_a_clock_does_not_run_on_the_wrong_time() {
    let clock = ShiftedClock::new();
    let preload = clock
        .environment()
        .into_iter()
        .filter(|(name, _)| name == "LD_PRELOAD");
    let output = Command::new("true").envs(preload).output().unwrap();
    assert_eq!(output.status.code(), Some(97));
    assert!(String::from_utf8_lossy(&output.stderr).contains("SHIFTED_CLOCK"));
}

#[test]
fn clocks_move_independently_and_clones_together() {
    let (one, other) = (ShiftedClock::new(), ShiftedClock::new());
    let (clone, function) = (one.clone(), one.function());
    clone.advance(DAYS);
    let ahead = one.now().duration_since(other.now());
    assert!(ahead.as_secs() > 3 * 24 * 3600 - 60, "{ahead:?}");
    assert!(function() >= one.now() - Duration::from_secs(60));
    assert_eq!(one.now().subsec_nanosecond() % 1_000_000, 0);
}
