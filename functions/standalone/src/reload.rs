//! Reads the configuration again when it changes or on SIGHUP. A wrong one changes nothing, and the log says what is wrong.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use anyhow::bail;
use courier_core::catalogue::Catalogue;
use courier_core::config::{Config, OwnOperations};
use courier_core::engine::app::App;
use courier_core::time::Clock;
use courier_local::Database;
use tokio::signal::unix::Signal;
use tokio::sync::watch;

use crate::settings::{self, Loaded};
use crate::{machine, orphans};

/// Pause between two looks at the files. A change is taken when it has stood still for one.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The `App` with the present configuration.
#[derive(Clone)]
pub(crate) struct Current(Arc<RwLock<Arc<App>>>);

impl Current {
    pub(crate) fn new(app: App) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(app))))
    }

    pub(crate) fn app(&self) -> Arc<App> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, app: App) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(app);
    }
}

/// The files of the configuration, and how they were when it was read.
pub(crate) struct Source {
    path: PathBuf,
    files: Vec<PathBuf>,
    own_operations: OwnOperations,
    stamps: Vec<Stamp>,
}

/// Device, inode, length and time of a file; `None` if there is none.
///
/// A mounted secret is a link that is made to lead elsewhere, so the inode may be all that changes.
type Stamp = Option<(u64, u64, u64, SystemTime)>;

impl Source {
    /// Reads the configuration at `path`, and notes what it is made of.
    pub(crate) fn read(path: PathBuf) -> anyhow::Result<(Self, Loaded)> {
        let mut files = Vec::new();
        let loaded = settings::load(&path, None, &mut files)?;
        let source = Self {
            stamps: stamps(&files),
            files,
            own_operations: loaded.own_operations.clone(),
            path,
        };
        Ok((source, loaded))
    }

    /// Reads the configuration again, with the catalogue that is there.
    ///
    /// A file that changes while it is read counts as changed at the next look.
    fn read_again(&mut self, catalogue: &'static Catalogue) -> anyhow::Result<Loaded> {
        let before: BTreeMap<PathBuf, Stamp> = self.files.iter().map(|path| stamp(path)).collect();
        let read = settings::load(&self.path, Some(catalogue), &mut self.files);
        let noted = |path: &PathBuf| before.get(path).copied().unwrap_or_else(|| stamp(path).1);
        self.stamps = self.files.iter().map(noted).collect();
        read
    }
}

/// What a new `App` is made on.
pub(crate) struct Ground {
    pub(crate) database: Database,
    pub(crate) data: PathBuf,
    pub(crate) clock: Clock,
}

/// Keeps `current` at the configuration that the files have, until `stop`.
pub(crate) async fn follow(
    current: Current,
    mut source: Source,
    ground: Ground,
    mut hangup: Signal,
    mut stop: watch::Receiver<bool>,
) {
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    let mut seen = source.stamps.clone();
    loop {
        let is_asked = tokio::select! {
            _ = hangup.recv() => true,
            _ = looks.tick() => false,
            _ = stop.changed() => return,
        };
        let found = stamps(&source.files);
        let has_settled = found == std::mem::replace(&mut seen, found.clone());
        if !is_asked && (!has_settled || found == source.stamps) {
            continue;
        }
        match reload(&current, &mut source, &ground).await {
            Ok(clients) => tracing::info!(clients, "the configuration was read again and is used"),
            Err(error) => {
                let error = format!("{error:#}").replace('\n', " ");
                tracing::error!(%error, "configuration reload failed; keeping the previous one");
            }
        }
        seen.clone_from(&source.stamps);
    }
}

/// Reads the configuration and uses it; returns its number of clients.
async fn reload(current: &Current, source: &mut Source, ground: &Ground) -> anyhow::Result<usize> {
    let former = current.app();
    let loaded = source.read_again(former.catalogue)?;
    for warning in &loaded.config.warnings {
        tracing::warn!("{}:{warning}", loaded.document);
    }
    if loaded.own_operations != source.own_operations {
        tracing::warn!(
            "catalogue and graph.monitor_hosts are read for catalogue files when the program starts: restart it to use the new ones"
        );
    }
    check_seal_keys(&former.config, &loaded.config, &ground.data)?;
    let clients = loaded.config.clients.len();
    let app = machine::app(loaded.config, &ground.database, Arc::clone(&ground.clock))?;
    let app = app.succeeding(&former);
    app.deployment().await?;
    current.replace(app);
    Ok(clients)
}

/// Refuses to leave out a seal key that open operations or the deployment still need.
fn check_seal_keys(former: &Config, new: &Config, data: &Path) -> anyhow::Result<()> {
    let kept = new.sealer.key_ids();
    let is_left_out = |id: &&str| !kept.contains(id);
    if !former.sealer.key_ids().iter().any(is_left_out) {
        return Ok(());
    }
    let found = tokio::task::block_in_place(|| orphans::find(new, data))?;
    let needed: Vec<String> = found
        .orphaned
        .iter()
        .filter(|(text, _)| text.contains(orphans::NO_SEAL_KEY))
        .map(|(text, count)| format!("{count} {text}"))
        .collect();
    if !needed.is_empty() {
        bail!(
            "a seal key that is left out is still needed: {}",
            needed.join("; ")
        );
    }
    Ok(())
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    files.iter().map(|path| stamp(path).1).collect()
}

fn stamp(path: &Path) -> (PathBuf, Stamp) {
    let stamp = |metadata: Metadata| {
        let modified = metadata.modified().ok()?;
        Some((metadata.dev(), metadata.ino(), metadata.len(), modified))
    };
    (path.to_owned(), path.metadata().ok().and_then(stamp))
}
