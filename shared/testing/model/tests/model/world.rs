//! The state of the model: store, queue, Graph, receiver, processes, and the faults that may still happen.

use crate::words::{Happening, Place, Stored, Then, Ticket, Verdict};

/// Something that may happen a limited number of times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chance {
    /// Polls that find the job still running. No fault.
    Running,
    /// Calls of the API. No faults.
    Cancel,
    Redelivery,
    Retarget,
    /// The receiver is left alone for a while. No fault.
    Park,
    /// Visits of the sweeper. No fault.
    Sweep,
    /// A process dies.
    Crash,
    /// A start lives longer than its lease, or than clocks that differ make it seem.
    Outlived,
    /// A step panics and its host writes it down.
    Stumble,
    /// A message is delivered while another handler has it, or in spite of its deletion.
    Duplicate,
    /// An answer of Graph to a start is lost, before or after the start was processed.
    LostAnswer,
    /// The same, and Graph processes the start only later.
    SlowStart,
    /// Graph or Entra cannot do it now: not sent, throttled, 401, no token.
    Hiccup,
    /// Graph refuses a start for good.
    Refusal,
    /// Graph refuses a start because it comes too early.
    Early,
    /// Graph accepts a start with no Location, or one on another host.
    Untrackable,
    /// A poll is answered 404.
    Missing,
    /// The receiver does not take the callback, or its answer is lost.
    Callback,
    /// The receiver says 410.
    Gone,
    /// The store does not answer a write, which it may apply now, later or never.
    Unanswered,
    /// A message is lost.
    LostMessage,
    /// A message that is not ours: a Location that is not the record's.
    Forged,
    /// A message grows old and is renewed.
    Renewal,
}

const CHANCES: usize = 23;

/// The number of times that each chance may still be taken, and the number of faults that may still happen in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    chances: [u8; CHANCES],
    pub(crate) faults: u8,
}

impl Budget {
    pub(crate) fn new(faults: u8, chances: &[(Chance, u8)]) -> Self {
        let mut budget = Self {
            chances: [0; CHANCES],
            faults,
        };
        for (chance, times) in chances {
            budget.chances[*chance as usize] = *times;
        }
        budget
    }

    pub(crate) fn none() -> Self {
        Self::new(0, &[])
    }

    pub(crate) fn without(mut self, chance: Chance) -> Self {
        self.chances[chance as usize] = 0;
        self
    }

    pub(crate) fn allows(&self, chance: Chance) -> bool {
        self.chances[chance as usize] > 0 && (self.faults > 0 || !chance.is_fault())
    }

    pub(crate) fn take(&mut self, chance: Chance) {
        self.chances[chance as usize] -= 1;
        self.faults -= u8::from(chance.is_fault());
        if self.faults == 0 {
            // What can no longer happen must not make states differ.
            for left in &mut self.chances[Chance::Crash as usize..] {
                *left = 0;
            }
        }
    }
}

impl Chance {
    fn is_fault(self) -> bool {
        self as usize >= Self::Crash as usize
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Job {
    Pending,
    Succeeded,
    Failed,
}

/// One operation: its record, and what the world outside knows of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Operation {
    pub(crate) record: Option<Stored>,
    pub(crate) requests: u8,
    /// The caller has its 202.
    pub(crate) acknowledged: bool,
    pub(crate) jobs: Vec<Job>,
    /// The schedule was completed once after this operation had put it.
    pub(crate) completed: bool,
    /// Starts that Graph will process although their senders no longer wait.
    pub(crate) on_the_wire: u8,
    /// A write that the store may still apply.
    pub(crate) lingering: Option<Stored>,
    /// The event id and body that the receiver got first.
    pub(crate) received: Option<(u16, u16)>,
    pub(crate) receptions: u8,
    /// The id and body of the announcement that its target got first.
    pub(crate) heard: Option<(u16, u16)>,
    /// The target has taken the announcement.
    pub(crate) told: bool,
    /// The receivers that have taken it, a bit for each.
    pub(crate) taken: u8,
    pub(crate) ended_writes: u8,
    /// Went from the hold to Running.
    pub(crate) came_late: bool,
    /// A start of class never was sent that Graph may have processed.
    pub(crate) may_have_run: bool,
    /// The start after whose loss the operation was last to be started again, because no job had appeared.
    pub(crate) restarted: u8,
    /// The looks after the success that have seen what the job has made, a bit for each.
    pub(crate) seen: u8,
}

/// The relation of a process's copy of the record to the store. The guard of a write asks no more than this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum View {
    Current,
    Outdated,
    /// The store holds what this process wrote without getting an answer: it knows by its nonce.
    Mine,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Role {
    /// The request half, its n-th request.
    Caller,
    /// Has a message of the queue.
    Worker(Ticket),
    /// The API or the sweeper: one event, no message.
    Visitor,
}

/// The line of starts of one team, first in front.
pub(crate) type Line = [Option<u8>; 2];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Doing {
    /// The request half: insert, join the line, queue the watchdog.
    Insert,
    Join,
    Queue,
    /// A replay of a record that nobody has touched: its watchdog may never have been sent.
    QueueAgain,
    /// The request half's step waits: the watchdog is queued for that time.
    QueueWait,
    Decide(Happening),
    /// A write without an answer: it is repeated, or given up.
    Repeat(Happening, Verdict),
    /// Takes its place in the line; `joining` only joins.
    Swap {
        line: Line,
        current: bool,
        joining: bool,
    },
    Turn,
    Leave(Verdict),
    Wake(Ticket, Verdict),
    Send(Ticket, Then),
    Post(u8),
    Ask,
    Call,
    Announce,
    Delete,
    /// A broken variant: to send what it has already deleted its own message for.
    SendAfterDelete(Ticket),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Process {
    pub(crate) role: Role,
    pub(crate) operation: u8,
    pub(crate) copy: Stored,
    pub(crate) view: View,
    pub(crate) doing: Doing,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) operations: Vec<Operation>,
    /// Sorted.
    pub(crate) queue: Vec<Ticket>,
    /// Sorted: two processes that do the same are the same.
    pub(crate) processes: Vec<Process>,
    pub(crate) budget: Budget,
    pub(crate) line: Line,
    /// Operations in the order they joined the line.
    pub(crate) joined: Line,
    /// Whose schedule Graph holds, and what became of it.
    pub(crate) schedule: Option<(u8, Job)>,
    pub(crate) broken: Broken,
}

/// Facts that only a moment can show: they are noted when they happen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Broken {
    /// I4
    pub(crate) two_completions: bool,
    /// I7
    pub(crate) called_before_end: bool,
    /// The same of announcements.
    pub(crate) two_announcements: bool,
    pub(crate) announced_before_end: bool,
    /// Closed as delivered, and the receiver of that time has not taken it.
    pub(crate) delivered_elsewhere: bool,
    /// I9
    pub(crate) token_elsewhere: bool,
    /// A start without its secrets.
    pub(crate) start_without_secrets: bool,
    /// An old schedule over a newer one.
    pub(crate) old_over_new: bool,
    /// A second start of class never that Graph may have processed.
    pub(crate) sent_twice: bool,
    /// Started again after a look of class never, or twice after one lost answer.
    pub(crate) restarted_twice: bool,
    /// Started again although the job was there to be found.
    pub(crate) restarted_over_job: bool,
    /// A look after the success came after one of a higher number.
    pub(crate) stage_fell: bool,
    /// The outcome of the job is not the operation's.
    pub(crate) outcome_changed: bool,
    /// A start was sent while one before it in line was looked for.
    pub(crate) out_of_turn: bool,
}

/// More copies of one message than this are not told apart.
const COPIES: usize = 2;

impl World {
    pub(crate) fn operation(&mut self, number: u8) -> &mut Operation {
        &mut self.operations[usize::from(number)]
    }

    pub(crate) fn send(&mut self, ticket: Ticket) {
        if self.copies(ticket) < COPIES {
            let place = self.queue.partition_point(|other| *other < ticket);
            self.queue.insert(place, ticket);
        }
    }

    pub(crate) fn delete(&mut self, ticket: Ticket) {
        if let Ok(place) = self.queue.binary_search(&ticket) {
            self.queue.remove(place);
        }
    }

    pub(crate) fn copies(&self, ticket: Ticket) -> usize {
        self.queue.iter().filter(|other| **other == ticket).count()
    }

    /// A handler that dies lets its message come back; it is free, for it never left the queue.
    pub(crate) fn is_free(&self, ticket: Ticket) -> bool {
        let handlers = self.processes.iter();
        let holding = handlers.filter(|process| process.role == Role::Worker(ticket));
        holding.count() < self.copies(ticket)
    }

    pub(crate) fn workers(&self) -> usize {
        let workers = self.processes.iter();
        workers
            .filter(|process| matches!(process.role, Role::Worker(_)))
            .count()
    }

    pub(crate) fn add(&mut self, mut process: Process) {
        let decides_no_more = matches!(
            process.doing,
            Doing::Delete
                | Doing::QueueWait
                | Doing::QueueAgain
                | Doing::SendAfterDelete(_)
                | Doing::Send(_, Then::Drop | Then::Wait)
        );
        if decides_no_more {
            // What it knows of the record makes no difference any more.
            process.copy = Stored(0);
            process.view = View::Outdated;
        }
        let place = self.processes.partition_point(|other| *other < process);
        self.processes.insert(place, process);
    }

    /// The write of a record, by `writer` if it is one of the processes; the store's guard has let it through.
    pub(crate) fn store(&mut self, operation: u8, record: Stored) {
        let kept = self.operation(operation);
        kept.record = Some(record);
        kept.lingering = None;
        for process in &mut self.processes {
            if process.operation == operation {
                process.view = View::Outdated;
            }
        }
    }

    /// Swaps the line's document: whoever has read the old one is refused.
    pub(crate) fn set_line(&mut self, line: Line, operation: u8) {
        if self.line != line {
            for process in &mut self.processes {
                if let Doing::Swap { current, .. } = &mut process.doing {
                    *current = false;
                }
            }
            self.processes.sort_unstable();
        }
        self.line = line;
        if line.contains(&Some(operation)) && !self.joined.contains(&Some(operation)) {
            let end = usize::from(self.joined[0].is_some());
            self.joined[end] = Some(operation);
        }
    }

    /// Graph has put this operation's schedule.
    pub(crate) fn put(&mut self, operation: u8, job: Job) {
        if let Some((holder, _)) = self.schedule
            && holder != operation
        {
            let place = |who| self.joined.iter().position(|other| *other == Some(who));
            self.broken.old_over_new |= place(operation) < place(holder);
        }
        self.schedule = Some((operation, job));
        self.operation(operation).jobs = vec![job];
        self.settle_schedule(job);
    }
}

impl World {
    /// The fate of the schedule that Graph holds. It stands for all that were put before it.
    pub(crate) fn settle_schedule(&mut self, end: Job) {
        if let Some((_, job)) = &mut self.schedule {
            *job = end;
        }
        for operation in &mut self.operations {
            if let Some(job) = operation.jobs.first_mut() {
                *job = end;
                operation.completed |= end == Job::Succeeded;
            }
        }
    }
}

impl Place {
    pub(crate) fn job(self) -> Option<usize> {
        match self {
            Self::Job(job) => Some(job.into()),
            Self::Nowhere | Self::Made(_) | Self::Foreign => None,
        }
    }
}
