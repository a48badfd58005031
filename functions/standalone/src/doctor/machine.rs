//! Checks the data directory: whether it can be used, its space, and whether a server is using it.

use std::fs::{File, TryLockError};
use std::path::Path;

use crate::doctor::{Doctor, Finding};
use crate::orphans;

/// Space below which nothing can be relied on, and below which somebody should look.
const TOO_LITTLE: u64 = 100 * MIB;
const LITTLE: u64 = 1024 * MIB;
const MIB: u64 = 1024 * 1024;

impl Doctor {
    pub(super) fn data(&mut self) -> anyhow::Result<()> {
        let Some(data) = self.data.clone() else {
            return Ok(());
        };
        if !data.is_dir() {
            let what = format!("{} is no directory", data.display());
            let next =
                "name the directory that `courier serve --data` names; a new one is made by it";
            return self.tell("data", &Finding::failed(what, next));
        }
        let finding = space(&data);
        self.tell("space of the data", &finding)?;
        let finding = lock(&data);
        self.tell("use of the data", &finding)?;
        if !data.join("courier.db").exists() {
            let what = "there is no database yet: the first start makes it";
            return self.tell("database", &Finding::ok(what));
        }
        let finding = match orphans::find(&self.config, &data) {
            Ok(found) if found.orphaned.is_empty() => Finding::ok(format!(
                "it can be read, with {} open operation(s)",
                found.open
            )),
            Ok(found) => {
                let orphaned: Vec<String> = found
                    .orphaned
                    .iter()
                    .map(|(text, count)| format!("{count} {text}"))
                    .collect();
                let next = "bring back what the configuration no longer has; `courier check --data` counts the same";
                Finding::failed(orphaned.join("; "), next)
            }
            Err(error) => {
                Finding::failed(format!("{error:#}"), "is it the directory of this program?")
            }
        };
        self.tell("database", &finding)
    }
}

fn space(data: &Path) -> Finding {
    let Ok(volume) = rustix::fs::statvfs(data) else {
        return Finding::warning("its space is not known", "look at the volume");
    };
    let free = volume.f_bavail.saturating_mul(volume.f_frsize);
    let what = format!("{} MiB are free", free / MIB);
    if free < TOO_LITTLE {
        Finding::failed(what, "make space: with a full disk nothing is accepted")
    } else if free < LITTLE {
        Finding::warning(what, "make space before it is full")
    } else {
        Finding::ok(what)
    }
}

/// Finds out whether a server holds the lock of the directory, without taking it away from one that starts.
fn lock(data: &Path) -> Finding {
    let Ok(file) = File::open(data.join("serving.lock")) else {
        return Finding::ok("no server has used it yet");
    };
    match file.try_lock_shared() {
        Ok(()) => Finding::ok("no server is using it now"),
        Err(TryLockError::WouldBlock) => {
            Finding::ok("a server is using it; another one would wait")
        }
        Err(TryLockError::Error(error)) => {
            let next = "the volume must know file locks, or two servers could use it";
            Finding::warning(format!("its lock cannot be tried: {error}"), next)
        }
    }
}
