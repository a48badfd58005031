//! The configurations: small worlds, each with a few faults, instead of one with all of them.

use crate::checked::Configuration;
use crate::words::Clock;
use crate::works::Work;
use crate::world::{Budget, Chance};

/// The size of the part that is explored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// In every test run.
    Quick,
    /// One fault more, and a caller that repeats its request while the first is still alive.
    Full,
}

pub(crate) const CLASSES: [Work; 3] = [Work::Export, Work::Goals, Work::Schedule];

/// What is looked for, or followed by looks after its success.
pub(crate) const LOOKS: [Work; 3] = [Work::Workflow, Work::Ediscovery, Work::Team];

const DUE: &[Clock] = &[Clock::Due];
const BEFORE_DEADLINE: &[Clock] = &[Clock::Early, Clock::Due];
const EVER: &[Clock] = &[Clock::Early, Clock::Due, Clock::Late];

impl Configuration {
    /// One operation, a caller with one retry, two workers; `faults` of the `chances` that are faults.
    pub(crate) fn of(work: Work, faults: u8, chances: &[(Chance, u8)]) -> Self {
        Self {
            work,
            operations: 1,
            with_callback: true,
            announced: false,
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

    /// What comes after the end is left to the other worlds.
    fn without_callback(mut self) -> Self {
        self.with_callback = false;
        self.reached = vec!["all closed"];
        self
    }

    /// A team goes through two more looks: what comes after its end, the caller's retry and polls that find the job
    /// still running are left to the other worlds.
    fn smaller(self, work: Work, size: Size) -> Self {
        if work != Work::Team || size == Size::Full {
            return self;
        }
        let mut smaller = self.without_callback();
        smaller.requests = 1;
        smaller.budget = smaller.budget.without(Chance::Running);
        smaller
    }

    fn reaching(mut self, reached: &[&'static str]) -> Self {
        self.reached.extend(reached);
        self
    }
}

pub(crate) fn base(work: Work, size: Size) -> Configuration {
    let chances = [
        (Chance::Running, 1),
        (Chance::Crash, 1),
        (Chance::Duplicate, 1),
        (Chance::LostAnswer, 1),
        (Chance::Callback, 1),
    ];
    let base = Configuration::of(work, 1, &chances)
        .at(size)
        .smaller(work, size);
    match work {
        Work::Export => base.reaching(&["called twice", "unknown"]),
        Work::Goals => base.reaching(&["called twice", "adopted"]),
        Work::Schedule => base.reaching(&["called twice"]),
        Work::Workflow => base.reaching(&["called twice", "looked for", "unknown"]),
        Work::Ediscovery => base.reaching(&["looked for", "started again after a look"]),
        Work::Team => base.reaching(&["adopted", "seen by the last look", "unverified"]),
    }
}

/// A start outlives its lease, and a message its deletion.
pub(crate) fn zombie(work: Work, size: Size) -> Configuration {
    let chances = [
        (Chance::Outlived, 1),
        (Chance::Duplicate, 1),
        (Chance::Crash, 1),
    ];
    let zombie = Configuration {
        requests: if size == Size::Full { 2 } else { 1 },
        ..Configuration::of(work, 2, &chances).at(size)
    };
    match work {
        Work::Export => zombie.reaching(&["late answer", "unknown"]),
        Work::Goals | Work::Team => zombie.reaching(&["adopted"]),
        Work::Workflow | Work::Ediscovery => zombie.reaching(&["looked for"]),
        Work::Schedule => zombie,
    }
}

/// Writes of which nobody knows whether, or when, the store applies them.
pub(crate) fn ambiguous_write(work: Work, size: Size) -> Configuration {
    let chances = [
        (Chance::Unanswered, 1),
        (Chance::Hiccup, 1),
        (Chance::Outlived, 1),
        (Chance::Crash, 1),
    ];
    Configuration {
        requests: if size == Size::Full { 2 } else { 1 },
        ..Configuration::of(work, 2, &chances).at(size)
    }
}

/// Whatever Graph may say to a start, at once or late.
pub(crate) fn start(work: Work, size: Size) -> Configuration {
    let chances = [
        (Chance::Hiccup, 1),
        (Chance::Refusal, 1),
        (Chance::LostAnswer, 1),
        (Chance::SlowStart, 1),
        (Chance::Untrackable, 1),
        (Chance::Early, 1),
        (Chance::Outlived, 1),
    ];
    let start = Configuration::of(work, 2, &chances)
        .at(size)
        .smaller(work, size);
    match work {
        Work::Export | Work::Goals | Work::Schedule => start.reaching(&["unknown"]),
        Work::Workflow | Work::Ediscovery => start.reaching(&["unknown", "looked for"]),
        Work::Team => start.reaching(&["unknown", "rejected", "adopted"]),
    }
}

pub(crate) fn poll(work: Work, size: Size) -> Configuration {
    let chances = [
        (Chance::Running, 1),
        (Chance::Missing, 2),
        (Chance::Hiccup, 1),
    ];
    Configuration {
        requests: 1,
        ..Configuration::of(work, 2, &chances)
            .at(size)
            .reaching(&["unknown"])
    }
}

/// Whatever Graph may say to a look, for a job or after its success, with workers that have the same message.
pub(crate) fn look(work: Work, size: Size) -> Configuration {
    let chances = [
        (Chance::LostAnswer, 1),
        (Chance::Duplicate, 1),
        (Chance::Hiccup, 1),
    ];
    // Two workers with one message are a fault, and so is what one of them meets: a lost answer, or a hiccup.
    let faults = if work == Work::Team { 1 } else { 2 };
    let look = Configuration {
        requests: 1,
        ..Configuration::of(work, faults, &chances)
            .at(size)
            .without_callback()
    };
    match work {
        Work::Export | Work::Goals | Work::Schedule => look,
        Work::Workflow => look.reaching(&["looked for", "unknown"]),
        Work::Ediscovery => look.reaching(&["looked for", "started again after a look"]),
        Work::Team => look.reaching(&["seen by the last look", "unverified"]),
    }
}

/// Messages that are renewed, forged, or whose step panics.
pub(crate) fn message(work: Work, size: Size) -> Configuration {
    let chances = [
        (Chance::Renewal, 1),
        (Chance::Forged, 1),
        (Chance::Stumble, 1),
        (Chance::Outlived, 1),
    ];
    Configuration {
        requests: 1,
        ..Configuration::of(work, 1, &chances)
            .at(size)
            .smaller(work, size)
    }
}

/// The deadline and the end of the callback window.
pub(crate) fn deadline(work: Work, size: Size) -> Configuration {
    let chances = [
        (Chance::Crash, 1),
        (Chance::LostAnswer, 1),
        (Chance::Callback, 1),
        (Chance::Gone, 1),
    ];
    Configuration {
        clocks: EVER,
        ..Configuration::of(work, 1, &chances)
            .at(size)
            .reaching(&["undeliverable"])
            .smaller(work, size)
    }
}

/// The sweeper comes when it likes, with or without a lost message.
pub(crate) fn sweeper(work: Work, size: Size) -> Configuration {
    let chances = [
        (Chance::Sweep, 1),
        (Chance::LostMessage, 1),
        (Chance::Crash, 1),
    ];
    Configuration {
        swept: true,
        requests: 1,
        ..Configuration::of(work, 1, &chances).at(size)
    }
}

/// A cancelled operation's message is queued after the write: a crash between the two leaves it to the older message.
pub(crate) fn cancel(work: Work, size: Size) -> Configuration {
    let chances = [(Chance::Cancel, 1), (Chance::Crash, 1)];
    let cancel = Configuration {
        requests: 1,
        ..Configuration::of(work, 1, &chances).at(size)
    };
    let cancel = match work {
        Work::Export | Work::Goals | Work::Schedule => cancel,
        Work::Workflow | Work::Ediscovery | Work::Team => cancel.without_callback(),
    };
    cancel.reaching(&["cancelled"])
}

pub(crate) fn redelivery(work: Work, size: Size) -> Configuration {
    let chances = [
        (Chance::Redelivery, 1),
        (Chance::Crash, 1),
        (Chance::Gone, 1),
    ];
    Configuration {
        swept: true,
        requests: 1,
        ..Configuration::of(work, 1, &chances)
            .at(size)
            .reaching(&["called twice", "undeliverable"])
    }
}

/// The receiver is left alone for a while, and changed for another.
pub(crate) fn receiver(work: Work, size: Size) -> Configuration {
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
        ..Configuration::of(work, 1, &chances).at(size).reaching(&[
            "called twice",
            "undeliverable",
            "delivered to the second receiver",
        ])
    }
}

/// The end is announced beside the callback, or alone.
pub(crate) fn announcement(with_callback: bool) -> Configuration {
    let chances = [
        (Chance::Redelivery, 1),
        (Chance::Park, 1),
        (Chance::Crash, 1),
        (Chance::Callback, 1),
        (Chance::Gone, 1),
    ];
    let announcement = Configuration {
        announced: true,
        with_callback,
        swept: true,
        requests: 1,
        reached: vec!["all closed", "announcement given up"],
        ..Configuration::of(Work::Export, 1, &chances)
    };
    if with_callback {
        return announcement.reaching(&[
            "delivered",
            "undeliverable",
            "announced before the callback was delivered",
        ]);
    }
    announcement
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
        ..Configuration::of(Work::Schedule, 1, &chances)
    }
}

/// One of them is cancelled, perhaps while its start is under way.
pub(crate) fn line_with_cancel() -> Configuration {
    Configuration {
        budget: Budget::new(0, &[(Chance::Cancel, 1)]),
        ..line(Size::Quick)
    }
}

/// Two runs of one workflow: the second waits while the first is looked for.
pub(crate) fn line_of_looks() -> Configuration {
    Configuration {
        work: Work::Workflow,
        budget: Budget::none(),
        reached: vec!["looked for"],
        ..line(Size::Quick)
    }
}
