//! `courier backup` and `courier restore`: a copy of the data, and how operations go on from one.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use clap::Args;
use courier_core::engine::app::App;
use courier_core::engine::restoring::{self, Copied};
use courier_core::operation::State;
use courier_core::time::{later, milliseconds};
use courier_local::copying::{self, Contents};
use courier_local::{Database, Options, ServingLock};
use futures_util::{StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};

use crate::{machine, output, settings};

/// Number of records that are written together when a copy is restored.
const WRITES_AT_ONCE: usize = 64;

#[derive(Args)]
pub(crate) struct Backup {
    /// The file to make. Nothing is overwritten; only its owner may read it.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The directory of the database, which a `serve` may be using; else COURIER_DATA says it, or it is courier-data.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Restore {
    /// The copy that `courier backup` has made. It stays as it is.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The directory in which the database is made; else COURIER_DATA says it, or it is courier-data. It must hold none.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The configuration file. Without it the environment must say COURIER_CONFIG=file:PATH.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// For how long new operations that Graph would run twice (exports among them) are accepted and not started: their
    /// requests may repeat some that the copy does not know. `0s` holds none.
    #[arg(long, value_name = "TIME", default_value = "1h")]
    hold_starts: SignedDuration,
}

pub(crate) fn back_up(arguments: Backup) -> anyhow::Result<ExitCode> {
    let source = settings::data(arguments.data)?.join("courier.db");
    let now = settings::clock()();
    let contents = copying::back_up(&source, &arguments.file, now)?;
    let file = arguments.file.display();
    output::print(&format!("{file}: {}\n", describe(&contents)))?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn restore(arguments: Restore) -> anyhow::Result<ExitCode> {
    let Restore {
        file,
        data,
        config,
        hold_starts,
    } = arguments;
    let data = settings::data(data)?;
    let (config, _) = settings::load_config(config)?;
    let contents = copying::inspect(&file)?;
    courier_local::create_private_directory(&data)
        .with_context(|| format!("the directory {} cannot be made", data.display()))?;
    let lock = ServingLock::take(&data)
        .with_context(|| format!("the directory {} cannot be locked", data.display()))?;
    let Some(_lock) = lock else {
        bail!(
            "{} is served by another process: nothing is restored there",
            data.display()
        );
    };
    let target = data.join("courier.db");
    if let Some(found) = copying::files(&target).next() {
        bail!(
            "{} exists already: restore into an empty directory",
            found.display()
        );
    }
    let partial = data.join("courier.db.restoring");
    copying::remove(&partial);
    let clock = settings::clock();
    let now = clock();
    let copied = Copied {
        copied_at: contents.label.as_ref().and_then(|label| label.copied_at),
        restored_at: Some(now),
        starts_held_until: (hold_starts.is_positive())
            .then(|| later(now, hold_starts.unsigned_abs())),
    };
    let restored = async {
        copying::copy(&file, &partial)?;
        let options = Options {
            catalogue: config.catalogue,
            ..Options::default()
        };
        let database = Database::open_with(&partial, &options)?;
        let app = machine::app(config, &database, clock)?;
        // The seal key must be the one of the copy.
        app.deployment().await?;
        let counts = tell(&app, &contents, &copied).await?;
        database.note_gap(now).await?;
        restoring::note(&app, &copied).await?;
        database.close().await;
        copying::publish(&partial, &target)
            .with_context(|| format!("{} cannot be written", target.display()))?;
        anyhow::Ok(counts)
    };
    let restored = restored.await;
    copying::remove(&partial);
    output::print(&report(&target, &contents, &copied, &restored?))?;
    Ok(ExitCode::SUCCESS)
}

/// The open operations of a copy, by what becomes of them.
#[derive(Default)]
struct Counts {
    /// Their start may have been sent after the copy was made.
    starting: usize,
    running: usize,
    ended: usize,
}

/// Tells every open record of the copy that it is old.
async fn tell(app: &App, contents: &Contents, copied: &Copied) -> anyhow::Result<Counts> {
    let restored = futures_util::stream::iter(&contents.open)
        .map(|id| restoring::restore(app, id, copied.copied_at))
        .buffer_unordered(WRITES_AT_ONCE);
    let count = |mut counts: Counts, record: Option<courier_core::operation::Record>| async move {
        match record.map(|record| record.state) {
            Some(State::Running { .. }) => counts.running += 1,
            Some(State::Ended { .. }) => counts.ended += 1,
            Some(
                State::Accepted { .. }
                | State::Starting { .. }
                | State::StartUnknown { .. }
                | State::Locating { .. },
            ) => counts.starting += 1,
            Some(State::Closed { .. }) | None => {}
        }
        Ok(counts)
    };
    Ok(restored.try_fold(Counts::default(), count).await?)
}

fn describe(contents: &Contents) -> String {
    let copied_at = contents.label.as_ref().and_then(|label| label.copied_at);
    let mut text = format!(
        "{} operations, {} of them open, {} bytes, as of {}; checked",
        contents.records,
        contents.open.len(),
        contents.bytes,
        moment(copied_at),
    );
    if contents.unreadable > 0 {
        text.push_str(&format!("; {} records cannot be read", contents.unreadable));
    }
    text
}

fn report(target: &Path, contents: &Contents, copied: &Copied, counts: &Counts) -> String {
    let since = moment(copied.copied_at);
    let mut lines = vec![format!("{}: {}", target.display(), describe(contents))];
    lines.push(format!(
        "{} were not started yet, or their start was under way: those that Graph would run twice end as unknown, unless their job is found; the others are started again",
        counts.starting
    ));
    lines.push(format!(
        "{} run at Graph and are followed on",
        counts.running
    ));
    lines.push(format!(
        "{} have ended, and their completions are delivered, some perhaps again with the same id",
        counts.ended
    ));
    lines.push(format!(
        "forgotten: requests after {since}, with their idempotency keys; cancels, redeliveries and erasures since then"
    ));
    if let Some(until) = copied.starts_held_until {
        lines.push(format!(
            "held until {}: the start of new operations that Graph would run twice, as their requests may repeat forgotten ones; cancel those that do",
            milliseconds(until)
        ));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn moment(copied_at: Option<Timestamp>) -> String {
    copied_at.map_or_else(|| "an unknown time".to_owned(), milliseconds)
}

/// Refuses a copy that was put in place without `courier restore`: its records do not know that they are old.
pub(crate) fn check_is_restored(copied: Option<&Copied>, data: &Path) -> anyhow::Result<()> {
    let is_raw = copied.is_some_and(|copied| copied.restored_at.is_none());
    let data = data.display();
    ensure!(
        !is_raw,
        "the data in {data} is a copy made by courier backup: move it elsewhere, and put it in place with courier restore FILE --data {data}"
    );
    Ok(())
}
