//! The small words of the model: what may happen, as values that are cheap to copy, compare and hash.

use courier_core::operation::{DeliveryOutcome, Outcome, Reason};

/// Where a monitor URL leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Place {
    Nowhere,
    /// A job of this operation at Graph; for a schedule, the schedule itself.
    Job(u8),
    /// What a job has made, as the look of this number after its success sees it.
    Made(u8),
    /// A host that is not Graph's: nobody may ever be sent there.
    Foreign,
}

/// A queue message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Ticket {
    pub(crate) operation: u8,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Watchdog,
    Poll { epoch: u8, place: Place },
}

impl Ticket {
    pub(crate) fn watchdog(operation: u8) -> Self {
        let kind = Kind::Watchdog;
        Self { operation, kind }
    }

    pub(crate) fn epoch(self) -> u8 {
        match self.kind {
            Kind::Watchdog => 0,
            Kind::Poll { epoch, .. } => epoch,
        }
    }

    /// The successor of a message that has grown too old (`Message::renewed`).
    pub(crate) fn renewed(self) -> Self {
        let kind = match self.kind {
            Kind::Watchdog => Kind::Watchdog,
            Kind::Poll { epoch, place } => Kind::Poll {
                epoch: epoch + 1,
                place,
            },
        };
        Self { kind, ..self }
    }
}

/// The result of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum StartReply {
    NotSent,
    Lost,
    Unavailable,
    Throttled,
    Unauthorized,
    Refused,
    /// 404: too early after what it builds on was made.
    Early,
    Accepted(Place),
    /// 409: this job is pending.
    Pending(Place),
    /// 409: what it would make is there, or on its way.
    Already,
    /// The answer itself says that the schedule is done.
    Done(Place),
}

/// What a poll asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Question {
    Monitor(Place),
    /// The job of the start with this number, whose URL is not known.
    Job {
        attempt: u8,
    },
}

/// The result of a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum PollReply {
    Running,
    Succeeded,
    Failed,
    Missing,
    Unauthorized,
    Lost,
    /// It could not be asked.
    NotReady,
    /// The list names this job.
    Found(u8),
    /// The list has no job; `settled` if one must have appeared by the time of the question.
    Absent {
        settled: bool,
    },
    /// 403: the list may not be read.
    Hidden {
        settled: bool,
    },
    /// What the job has made can be seen, or not yet.
    Visible,
    NotYet,
}

impl PollReply {
    /// Whether it was asked when a job of a lost start must have appeared.
    pub(crate) fn is_settled(self) -> bool {
        match self {
            Self::Absent { settled } | Self::Hidden { settled } => settled,
            Self::Running
            | Self::Succeeded
            | Self::Failed
            | Self::Missing
            | Self::Unauthorized
            | Self::Lost
            | Self::NotReady
            | Self::Found(_)
            | Self::Visible
            | Self::NotYet => false,
        }
    }
}

/// The answer of the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum CallReply {
    Taken,
    Unheard,
    Refused,
    Gone,
}

/// The two deliveries of an operation that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Channel {
    Callback,
    Announcement,
}

/// The event handed to `decide`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Happening {
    Arrived(Ticket),
    Prepared,
    NotReady,
    Started {
        attempt: u8,
        reply: StartReply,
    },
    Polled {
        epoch: u8,
        asked: Question,
        reply: PollReply,
    },
    Called {
        epoch: u8,
        target: u8,
        reply: CallReply,
    },
    Announced {
        epoch: u8,
        reply: CallReply,
    },
    Deferred {
        channel: Channel,
        epoch: u8,
    },
    Cancelled,
    RedeliveryRequested,
    Retargeted,
    Overdue,
    StepCrashed,
}

/// Every decision may be made at any of these times, in any order: clocks differ by as much as they like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Clock {
    /// No pause, lease or hold is over.
    Early,
    /// Each of them is over; the deadline is not.
    Due,
    /// The deadline and the callback window are over.
    Late,
}

pub(crate) const CLOCKS: [Clock; 3] = [Clock::Early, Clock::Due, Clock::Late];

/// A record among those that the rulebook knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Stored(pub(crate) u16);

/// The result of `decide`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Verdict {
    pub(crate) write: Option<Stored>,
    pub(crate) send: Option<Ticket>,
    pub(crate) next: Then,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Then {
    Prepare,
    Start(u8),
    Poll,
    Deliver,
    Announce,
    Redecide,
    Wait,
    Drop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    Accepted,
    Starting,
    StartUnknown,
    Locating,
    Running,
    Ended,
    Closed { delivered: bool },
}

/// The questions of the model about a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) phase: Phase,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) reason: Option<Reason>,
    /// It waits after a look or a start that has brought nothing, and does not say why.
    pub(crate) silent: bool,
    pub(crate) attempt: u8,
    pub(crate) epoch: u8,
    /// No start has succeeded or been given up yet, in the words of the core.
    pub(crate) starting: bool,
    /// A job that does not appear in time means that a lost start did nothing.
    pub(crate) settles: bool,
    /// The number of the look after the job's success, and the job's outcome.
    pub(crate) follow_up: Option<(u8, Outcome)>,
    /// The result does not say that nobody has seen what the job has made.
    pub(crate) verified: bool,
    /// While its lease lasts, whoever stands behind it in line waits.
    pub(crate) may_start: bool,
    /// Nobody has written it since it was inserted.
    pub(crate) untouched: bool,
    /// The sweeper will see it.
    pub(crate) watched: bool,
    pub(crate) adopted: bool,
    /// The secrets of its start are still there.
    pub(crate) sealed: bool,
    pub(crate) monitor: Place,
    /// The number of times that the caller has changed the receiver.
    pub(crate) target: u8,
    /// Event id and body of the completion, as numbers.
    pub(crate) event: Option<(u16, u16)>,
    /// The same of the event that the operation has ended.
    pub(crate) announcement: Option<(u16, u16)>,
    pub(crate) announced: Option<DeliveryOutcome>,
}

impl Facts {
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed { .. })
    }
}
