//! The configurations: small worlds, each with a few faults, instead of one with all of them.

use courier_core::catalogue::Restart;

use crate::checked::Configuration;
use crate::words::Clock;
use crate::world::{Budget, Chance};

/// The size of the part that is explored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// In every test run.
    Quick,
    /// One fault more, and a caller that repeats its request while the first is still alive.
    Full,
}

pub(crate) const CLASSES: [Restart; 3] = [Restart::Never, Restart::Adopt, Restart::Idempotent];

const DUE: &[Clock] = &[Clock::Due];
const BEFORE_DEADLINE: &[Clock] = &[Clock::Early, Clock::Due];
const EVER: &[Clock] = &[Clock::Early, Clock::Due, Clock::Late];

impl Configuration {
    /// One operation, a caller with one retry, two workers; `faults` of the `chances` that are faults.
    pub(crate) fn of(class: Restart, faults: u8, chances: &[(Chance, u8)]) -> Self {
        Self {
            class,
            operations: 1,
            with_callback: true,
            only_starts: false,
            requests: 2,
            impatient: false,
            workers: 2,
            clocks: BEFORE_DEADLINE,
            budget: Budget::new(faults, chances),
            swept: false,
            reached: vec!["delivered"],
            variant: None,
            forgetful_graph: false,
        }
    }

    fn at(self, size: Size) -> Self {
        let mut larger = self;
        if size == Size::Full {
            larger.impatient = true;
            larger.budget.faults += 1;
        }
        larger
    }

    fn reaching(mut self, reached: &[&'static str]) -> Self {
        self.reached.extend(reached);
        self
    }
}

pub(crate) fn base(class: Restart, size: Size) -> Configuration {
    let chances = [
        (Chance::Running, 1),
        (Chance::Crash, 1),
        (Chance::Duplicate, 1),
        (Chance::LostAnswer, 1),
        (Chance::Callback, 1),
    ];
    let base = Configuration::of(class, 1, &chances).at(size);
    match class {
        Restart::Never => base.reaching(&["called twice", "unknown"]),
        Restart::Adopt => base.reaching(&["called twice", "adopted"]),
        Restart::Idempotent => base.reaching(&["called twice"]),
    }
}

/// A start outlives its lease, and a message its deletion.
pub(crate) fn zombie(class: Restart, size: Size) -> Configuration {
    let chances = [
        (Chance::Outlived, 1),
        (Chance::Duplicate, 1),
        (Chance::Crash, 1),
    ];
    let zombie = Configuration {
        requests: if size == Size::Full { 2 } else { 1 },
        ..Configuration::of(class, 2, &chances).at(size)
    };
    match class {
        Restart::Never => zombie.reaching(&["late answer", "unknown"]),
        Restart::Adopt => zombie.reaching(&["adopted"]),
        Restart::Idempotent => zombie,
    }
}

/// Writes of which nobody knows whether, or when, the store applies them.
pub(crate) fn ambiguous_write(class: Restart, size: Size) -> Configuration {
    let chances = [
        (Chance::Unanswered, 1),
        (Chance::Hiccup, 1),
        (Chance::Outlived, 1),
        (Chance::Crash, 1),
    ];
    Configuration {
        requests: if size == Size::Full { 2 } else { 1 },
        ..Configuration::of(class, 2, &chances).at(size)
    }
}

/// Whatever Graph may say to a start, at once or late.
pub(crate) fn start(class: Restart, size: Size) -> Configuration {
    let chances = [
        (Chance::Hiccup, 1),
        (Chance::Refusal, 1),
        (Chance::LostAnswer, 1),
        (Chance::SlowStart, 1),
        (Chance::Untrackable, 1),
        (Chance::Outlived, 1),
    ];
    Configuration::of(class, 2, &chances)
        .at(size)
        .reaching(&["unknown"])
}

pub(crate) fn poll(class: Restart, size: Size) -> Configuration {
    let chances = [
        (Chance::Running, 1),
        (Chance::Missing, 2),
        (Chance::Hiccup, 1),
    ];
    Configuration {
        requests: 1,
        ..Configuration::of(class, 2, &chances)
            .at(size)
            .reaching(&["unknown"])
    }
}

/// Messages that are renewed, forged, or whose step panics.
pub(crate) fn message(class: Restart, size: Size) -> Configuration {
    let chances = [
        (Chance::Renewal, 1),
        (Chance::Forged, 1),
        (Chance::Stumble, 1),
        (Chance::Outlived, 1),
    ];
    Configuration {
        requests: 1,
        ..Configuration::of(class, 1, &chances).at(size)
    }
}

/// The deadline and the end of the callback window.
pub(crate) fn deadline(class: Restart, size: Size) -> Configuration {
    let chances = [
        (Chance::Crash, 1),
        (Chance::LostAnswer, 1),
        (Chance::Callback, 1),
        (Chance::Gone, 1),
    ];
    Configuration {
        clocks: EVER,
        ..Configuration::of(class, 1, &chances)
            .at(size)
            .reaching(&["undeliverable"])
    }
}

/// The sweeper comes when it likes, with or without a lost message.
pub(crate) fn sweeper(class: Restart, size: Size) -> Configuration {
    let chances = [
        (Chance::Sweep, 1),
        (Chance::LostMessage, 1),
        (Chance::Crash, 1),
    ];
    Configuration {
        swept: true,
        requests: 1,
        ..Configuration::of(class, 1, &chances).at(size)
    }
}

/// A cancelled operation's message is queued after the write: a crash between the two leaves it to the older message.
pub(crate) fn cancel(class: Restart, size: Size) -> Configuration {
    let chances = [(Chance::Cancel, 1), (Chance::Crash, 1)];
    Configuration {
        requests: 1,
        ..Configuration::of(class, 1, &chances)
            .at(size)
            .reaching(&["cancelled"])
    }
}

pub(crate) fn redelivery(class: Restart, size: Size) -> Configuration {
    let chances = [
        (Chance::Redelivery, 1),
        (Chance::Crash, 1),
        (Chance::Gone, 1),
    ];
    Configuration {
        swept: true,
        requests: 1,
        ..Configuration::of(class, 1, &chances)
            .at(size)
            .reaching(&["called twice", "undeliverable"])
    }
}

/// The receiver is left alone for a while, and changed for another.
pub(crate) fn receiver(class: Restart, size: Size) -> Configuration {
    let chances = [
        (Chance::Retarget, 1),
        (Chance::Park, 1),
        (Chance::Crash, 1),
        (Chance::Callback, 1),
        (Chance::Gone, 1),
    ];
    Configuration {
        swept: true,
        requests: 1,
        ..Configuration::of(class, 1, &chances).at(size).reaching(&[
            "called twice",
            "undeliverable",
            "delivered to the second receiver",
        ])
    }
}

/// Two schedules of one team. A start that outlives its lease is left out: a lease is longer than a start can live
/// (`Timing`), and with it goes the order of two schedules.
pub(crate) fn line(size: Size) -> Configuration {
    let mut chances = vec![(Chance::Crash, 1)];
    if size == Size::Full {
        chances.extend([(Chance::LostAnswer, 1), (Chance::Hiccup, 1)]);
    }
    Configuration {
        operations: 2,
        requests: 1,
        // Starts are what the line is for: what comes after the end is left to the other worlds.
        with_callback: false,
        only_starts: size == Size::Quick,
        workers: if size == Size::Full { 2 } else { 1 },
        clocks: if size == Size::Full {
            BEFORE_DEADLINE
        } else {
            DUE
        },
        reached: vec!["all closed"],
        ..Configuration::of(Restart::Idempotent, 1, &chances)
    }
}

/// One of them is cancelled, perhaps while its start is under way.
pub(crate) fn line_with_cancel() -> Configuration {
    Configuration {
        budget: Budget::new(0, &[(Chance::Cancel, 1)]),
        ..line(Size::Quick)
    }
}
