//! The canaries, secrets that must not be seen outside their place (invariant I11), and a scan of all that this process
//! emits.
//!
//! From the first World on, every log line of every target and level is scanned as it is written, and so is every
//! panic. Only the lines that contain a canary are stored.

use std::fmt::Display;
use std::io;
use std::panic::{self, PanicHookInfo};
use std::sync::{LazyLock, Mutex, MutexGuard, Once, PoisonError};

use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use graph_simulator::STORAGE_KEY;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::tenants::{
    FABRIKAM_KEY, HR_KEY, SEAL_KEY, SIGNING_SECRETS, STORAGE_KEY_OLD, TICKETS_KEY,
};

/// The texts that must not be seen anywhere. Most secrets of our tests contain the first.
static CANARIES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut canaries: Vec<String> = [
        "canary",
        TICKETS_KEY,
        HR_KEY,
        FABRIKAM_KEY,
        // The tokens that the Graph simulator issues.
        "simulated-access",
        "simulated-refresh",
        // What graph-courier signs for a storage on loopback.
        "spr=https%2Chttp",
    ]
    .map(str::to_owned)
    .into();
    let storage_keys = [&STORAGE_KEY, &STORAGE_KEY_OLD];
    let encoded = SIGNING_SECRETS.iter().chain([&SEAL_KEY]);
    for encoded in encoded.chain(storage_keys) {
        let encoded = encoded.trim_start_matches("whsec_").trim_end_matches('=');
        let bytes = BASE64_STANDARD_NO_PAD.decode(encoded).unwrap_or_default();
        assert!(!bytes.is_empty(), "{encoded} is no base64");
        canaries.push(encoded.to_owned());
        canaries.push(bytes.iter().map(|byte| format!("{byte:02x}")).collect());
        // The form in which `Debug` prints bytes.
        canaries.push(format!("{bytes:?}").trim_matches(['[', ']']).to_owned());
        canaries.push(String::from_utf8_lossy(&bytes).into_owned());
    }
    canaries
});

/// Returns the first canary in the emitted bytes, which need not be text.
pub fn canary_in(emitted: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(emitted);
    let mut canaries = CANARIES.iter();
    let found = canaries.find(|canary| text.contains(canary.as_str()));
    found.map(String::as_str)
}

/// The places in which canaries were seen.
#[derive(Debug, Default)]
pub struct Sightings(Mutex<Vec<String>>);

impl Sightings {
    const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    pub fn scan(&self, place: impl Display, emitted: &[u8]) {
        if let Some(canary) = canary_in(emitted) {
            let emitted = String::from_utf8_lossy(emitted);
            // In a data file only the surroundings of the canary help.
            let start = emitted.find(canary).unwrap_or_default();
            let around = emitted[..start].chars().rev().take(500).collect::<Vec<_>>();
            let around: String = around.into_iter().rev().collect();
            let rest: String = emitted[start..].chars().take(500).collect();
            let sighting = format!("{canary} in {place}: {around}{rest}");
            self.seen().push(sighting);
        }
    }

    pub fn seen(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The canaries in what this process has emitted since [`watch`]; never cleared, so that no test can miss one.
pub static EMITTED: Sightings = Sightings::new();

/// Scans everything that this process logs or panics with from now on.
pub fn watch() {
    static ONCE: Once = Once::new();
    static LINES: Lines = Lines(&EMITTED);
    ONCE.call_once(|| {
        let subscriber = Registry::default().with(lines(|| Lines(&EMITTED)));
        tracing::subscriber::set_global_default(subscriber)
            .unwrap_or_else(|error| panic!("another subscriber takes the log lines: {error}"));
        log::set_logger(&LINES)
            .unwrap_or_else(|error| panic!("another subscriber takes the log lines: {error}"));
        log::set_max_level(log::LevelFilter::Trace);
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            scan_panic(&EMITTED, panic);
            before(panic);
        }));
    });
}

/// Takes every level of every target except the Graph simulator, whose secrets they are.
fn lines<W>(writer: W) -> impl Layer<Registry>
where
    W: for<'writer> fmt::MakeWriter<'writer> + Send + Sync + 'static,
{
    let ours = Targets::new()
        .with_default(LevelFilter::TRACE)
        .with_target("graph_simulator", LevelFilter::OFF);
    let lines = fmt::layer().with_ansi(false).with_writer(writer);
    lines.with_filter(ours)
}

/// Scans a panic. A failing test may print anything, but not what [`panicking`](crate::panicking) prints for the code
/// it tests.
fn scan_panic(sightings: &Sightings, panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    let place = place.unwrap_or_default();
    let of_a_test = place.contains("tests/") || place.contains("testkit/");
    if !of_a_test || place.contains("testkit/src/panicking.rs") {
        let words = panic.payload_as_str().unwrap_or_default();
        sightings.scan(format!("a panic at {place}"), words.as_bytes());
    }
}

/// Scans lines as they are written, and stores none.
struct Lines(&'static Sightings);

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.scan("a log line", line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Scans lines that libraries emit through `log`: no program of ours reads them, but a feature may change that.
impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = record.args().to_string();
        self.0.scan(
            format!("a log line of {}", record.target()),
            line.as_bytes(),
        );
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenants::{CALLBACK_TOKEN, GRAPH_SECRET, PERSON, REFRESH_TOKEN, SAS_SIGNATURE};

    #[test]
    fn every_encoding_of_a_secret_is_detected() {
        for emitted in [
            GRAPH_SECRET,
            REFRESH_TOKEN,
            SAS_SIGNATURE,
            CALLBACK_TOKEN,
            PERSON,
            "canary.person%40contoso.example",
            TICKETS_KEY,
            SIGNING_SECRETS[0],
            SIGNING_SECRETS[1],
            "new-secret-of-the-tickets-client",
            "6f6c642d7365637265742d6f662d7468652d7469636b6574732d636c69656e74",
            "Bytes([111, 108, 100, 45, 115, 101, 99, 114, 101, 116, 45, 111, 102, 45, 116, 104, 101, 45, 116, 105, 99, 107, 101, 116, 115, 45, 99, 108, 105, 101, 110, 116])",
            SEAL_KEY,
            "simulated-access-1-0123",
            "simulated-refresh-1-0123",
        ] {
            let sightings = Sightings::default();
            sightings.scan("a place", format!("\u{0}before {emitted} after").as_bytes());
            sightings.scan("a place", b"\xff\xfe nothing of that kind");
            let seen = sightings.seen();
            assert!(
                seen.len() == 1 && seen[0].contains("in a place: "),
                "{emitted}: {seen:?}"
            );
        }
    }

    #[test]
    fn log_lines_of_every_target_but_the_simulator_are_scanned() {
        static HEARD: Sightings = Sightings::new();
        let subscriber = Registry::default().with(lines(|| Lines(&HEARD)));
        tracing::subscriber::with_default(subscriber, || {
            tracing::trace!(target: "graph_simulator::tokens", "canary-1");
            tracing::trace!(target: "hyper::proto", "canary-2");
            tracing::error!(url = "https://x.example/?sig=canary-3", "refused");
            tracing::debug_span!("call", token = "canary-4").in_scope(|| tracing::info!("made"));
        });
        log::Log::log(
            &Lines(&HEARD),
            &log::Record::builder()
                .args(format_args!("canary-5"))
                .build(),
        );
        let seen = HEARD.seen().join("\n");
        let numbers: Vec<_> = (1..=5)
            .filter(|n| seen.contains(&format!("canary-{n}")))
            .collect();
        assert_eq!(numbers, [2, 3, 4, 5], "{seen}");
    }
}
