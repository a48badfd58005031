//! The host's loop of `step.rs`, `start.rs` and `lane.rs`, one small action at a time: write, send, go on; a lost race
//! decides again on the winner's record.

use courier_core::catalogue::Restart;

use crate::actions::is_start_under_way;
use crate::checked::Checked;
use crate::variants::Variant;
use crate::words::{Clock, Happening, Kind, Stored, Then, Ticket, Verdict};
use crate::world::{Doing, Line, Process, Role, View, World};

impl Checked {
    /// A request of the caller, or its retry.
    pub(crate) fn request(&self, world: &mut World, operation: u8) {
        world.operation(operation).requests += 1;
        let first = self.rules.first(operation);
        let mut process = Process {
            role: Role::Caller,
            operation,
            copy: first,
            view: View::Current,
            doing: Doing::Insert,
        };
        match self.variant {
            Some(Variant::MessageBeforeRecord) => process.doing = Doing::Queue,
            Some(Variant::GraphBeforeRecord) => {
                let claim = self.rules.decide(first, Happening::Prepared, Clock::Due);
                process.copy = claim.write.unwrap_or(first);
                process.doing = Doing::Post(1);
            }
            _ => {}
        }
        world.add(process);
    }

    /// A handler gets a message, loads the record and decides. That the record changes between the two shows as a
    /// later delivery would: a refused write decides again on the winner's record.
    pub(crate) fn deliver(&self, world: &mut World, ticket: Ticket, clock: Clock) {
        let Some(copy) = world.operation(ticket.operation).record else {
            // A message without a record waits.
            if self.variant == Some(Variant::MessageBeforeRecord) {
                world.delete(ticket);
            }
            return;
        };
        let process = Process {
            role: Role::Worker(ticket),
            operation: ticket.operation,
            copy,
            view: View::Current,
            doing: Doing::Decide(Happening::Arrived(ticket)),
        };
        self.commit(world, process, Happening::Arrived(ticket), clock);
    }

    /// The API, the sweeper, or a host whose step has panicked: one event on the record as it is now.
    pub(crate) fn visit(&self, world: &mut World, operation: u8, what: Happening, clock: Clock) {
        let Some(copy) = world.operation(operation).record else {
            return;
        };
        let process = Process {
            role: Role::Visitor,
            operation,
            copy,
            view: View::Current,
            doing: Doing::Decide(what),
        };
        self.commit(world, process, what, clock);
    }

    /// Decides, writes under the guard, and goes on.
    pub(crate) fn commit(
        &self,
        world: &mut World,
        mut process: Process,
        what: Happening,
        clock: Clock,
    ) {
        let verdict = self.rules.decide(process.copy, what, clock);
        let Some(new) = verdict.write else {
            self.go_on(world, process, verdict);
            return;
        };
        if self.variant == Some(Variant::NoClaim) && matches!(verdict.next, Then::Start(_)) {
            process.copy = new;
            self.go_on(world, process, verdict);
            return;
        }
        let ends = self.ends(process.copy, new);
        let unguarded = ends && self.variant == Some(Variant::UnconditionalTerminalWrite);
        if process.view == View::Current || unguarded {
            self.applied(world, &mut process, new);
            self.written(world, process, verdict);
        } else {
            self.refused(world, process, what);
        }
    }

    /// The store does not answer. Whether it applies the write is left to it, and for how long.
    pub(crate) fn unanswered(
        &self,
        world: &mut World,
        mut process: Process,
        what: Happening,
        clock: Clock,
    ) {
        let verdict = self.rules.decide(process.copy, what, clock);
        world.operation(process.operation).lingering = verdict.write;
        process.doing = Doing::Repeat(what, verdict);
        world.add(process);
    }

    pub(crate) fn repeat(
        &self,
        world: &mut World,
        mut process: Process,
        what: Happening,
        verdict: Verdict,
    ) {
        match (process.view, verdict.write) {
            (View::Current, Some(new)) => {
                self.applied(world, &mut process, new);
                self.written(world, process, verdict);
            }
            (View::Mine, Some(_)) => {
                process.view = View::Current;
                self.written(world, process, verdict);
            }
            _ => self.refused(world, process, what),
        }
    }

    /// The store applies a write that it has not answered.
    pub(crate) fn applies_late(&self, world: &mut World, operation: u8) {
        let kept = world.operation(operation);
        let (Some(old), Some(new)) = (kept.record, kept.lingering) else {
            return;
        };
        self.note_write(world, operation, old, new);
        let writer = |process: &Process| {
            process.operation == operation
                && process.view == View::Current
                && matches!(process.doing, Doing::Repeat(_, verdict) if verdict.write == Some(new))
        };
        let writer = world.processes.iter().position(writer);
        world.store(operation, new);
        if let Some(writer) = writer {
            world.processes[writer].view = View::Mine;
        }
        world.processes.sort_unstable();
    }

    fn refused(&self, world: &mut World, mut process: Process, what: Happening) {
        if let Some(winner) = world.operation(process.operation).record {
            process.copy = winner;
            process.view = View::Current;
        }
        process.doing = Doing::Decide(what);
        world.add(process);
    }

    fn applied(&self, world: &mut World, process: &mut Process, new: Stored) {
        self.note_write(world, process.operation, process.copy, new);
        world.store(process.operation, new);
        world.processes.sort_unstable();
    }

    fn note_write(&self, world: &mut World, operation: u8, old: Stored, new: Stored) {
        let ends = self.ends(old, new);
        let late = self.comes_late(old, new);
        let delivered = self.delivers(old, new);
        let target = self.rules.facts(old).target;
        let kept = world.operation(operation);
        let elsewhere = delivered && kept.taken & (1 << target) == 0;
        kept.ended_writes += u8::from(ends);
        kept.came_late |= late;
        world.broken.delivered_elsewhere |= elsewhere;
        self.note_look(world, operation, old, new);
    }

    fn written(&self, world: &mut World, mut process: Process, verdict: Verdict) {
        let new = verdict.write.unwrap_or(process.copy);
        let started = self.rules.facts(process.copy).may_start && !self.rules.facts(new).may_start;
        process.copy = new;
        if started && self.lined_up {
            process.doing = Doing::Leave(verdict);
            world.add(process);
        } else {
            self.go_on(world, process, verdict);
        }
    }

    /// After the write: the message, then what is next.
    pub(crate) fn go_on(&self, world: &mut World, mut process: Process, verdict: Verdict) {
        let Some(ticket) = verdict.send else {
            self.next(world, process, verdict.next);
            return;
        };
        process.doing = Doing::Send(ticket, verdict.next);
        if let Role::Worker(own) = process.role
            && self.variant == Some(Variant::DeleteBeforeSend)
            && verdict.next == Then::Drop
        {
            world.delete(own);
            process.doing = Doing::SendAfterDelete(ticket);
        }
        world.add(process);
    }

    pub(crate) fn next(&self, world: &mut World, mut process: Process, next: Then) {
        let watchdog = Ticket::watchdog(process.operation);
        process.doing = match (next, process.role) {
            (Then::Prepare, _) if self.lined_up => Doing::Turn,
            (Then::Prepare, _) => Doing::Decide(Happening::Prepared),
            (Then::Start(attempt), _) => Doing::Post(attempt),
            (Then::Poll, _) => Doing::Ask,
            (Then::Deliver, _) => Doing::Call,
            (Then::Announce, _) => Doing::Announce,
            (Then::Redecide, Role::Worker(ticket)) => Doing::Decide(Happening::Arrived(ticket)),
            (Then::Redecide, Role::Caller) => Doing::Decide(Happening::Arrived(watchdog)),
            (Then::Drop, Role::Worker(_)) => Doing::Delete,
            (Then::Wait, Role::Caller) => Doing::QueueWait,
            (Then::Drop, Role::Caller) => {
                world.operation(process.operation).acknowledged = true;
                return;
            }
            // The message waits in the queue; a visitor has none.
            (Then::Wait, Role::Worker(_))
            | (Then::Wait | Then::Drop | Then::Redecide, Role::Visitor) => {
                return;
            }
        };
        world.add(process);
    }

    /// The actions that have only one way to go.
    pub(crate) fn go(&self, world: &mut World, mut process: Process) {
        let operation = process.operation;
        let watchdog = Ticket::watchdog(operation);
        match process.doing {
            Doing::Insert => self.insert(world, process),
            Doing::Join => self.turn(world, process, true),
            Doing::Turn => self.turn(world, process, false),
            Doing::Queue => {
                world.send(watchdog);
                process.doing = match self.variant {
                    Some(Variant::MessageBeforeRecord) => Doing::Insert,
                    _ => Doing::Decide(Happening::Arrived(watchdog)),
                };
                world.add(process);
            }
            Doing::QueueAgain | Doing::QueueWait => {
                world.send(watchdog);
                world.operation(operation).acknowledged = true;
            }
            Doing::Swap {
                line,
                current,
                joining,
            } => {
                if current {
                    world.set_line(line, operation);
                    self.turned(world, process, line, joining);
                } else {
                    self.turn(world, process, joining);
                }
            }
            Doing::Leave(verdict) => {
                let left = without(world.line, operation);
                world.set_line(left, operation);
                match left[0] {
                    Some(first) => {
                        process.doing = Doing::Wake(Ticket::watchdog(first), verdict);
                        world.add(process);
                    }
                    None => self.go_on(world, process, verdict),
                }
            }
            Doing::Wake(ticket, verdict) => {
                world.send(ticket);
                self.go_on(world, process, verdict);
            }
            Doing::Send(ticket, next) => {
                world.send(ticket);
                self.next(world, process, next);
            }
            Doing::SendAfterDelete(ticket) => world.send(ticket),
            Doing::Delete => {
                if let Role::Worker(ticket) = process.role {
                    world.delete(ticket);
                }
            }
            Doing::Decide(_)
            | Doing::Repeat(..)
            | Doing::Post(_)
            | Doing::Ask
            | Doing::Call
            | Doing::Announce => {}
        }
    }

    fn insert(&self, world: &mut World, mut process: Process) {
        let kept = world.operation(process.operation);
        let watchdog = Ticket::watchdog(process.operation);
        process.doing = match kept.record {
            None => {
                kept.record = Some(process.copy);
                match self.variant {
                    Some(Variant::MessageBeforeRecord | Variant::QueueAfterGraph) => {
                        Doing::Decide(Happening::Arrived(watchdog))
                    }
                    _ if self.lined_up => Doing::Join,
                    _ => Doing::Queue,
                }
            }
            Some(record) if self.rules.facts(record).untouched => Doing::QueueAgain,
            Some(_) => {
                kept.acknowledged = true;
                return;
            }
        };
        world.add(process);
    }

    /// Reads the line, joins it, and passes over those in front who have started.
    fn turn(&self, world: &mut World, mut process: Process, joining: bool) {
        let mut line = world.line;
        if !line.contains(&Some(process.operation)) {
            let end = usize::from(line[0].is_some());
            line[end] = Some(process.operation);
        }
        while let Some(first) = line[0].filter(|first| *first != process.operation) {
            let record = world.operation(first).record;
            if record.is_some_and(|record| self.may_start(world, first, record)) {
                break;
            }
            line = without(line, first);
        }
        if line == world.line {
            self.turned(world, process, line, joining);
            return;
        }
        let current = true;
        process.doing = Doing::Swap {
            line,
            current,
            joining,
        };
        world.add(process);
    }

    /// As `courier_core::lifecycle::may_start` has it: a lease lasts as long as its start is under way.
    fn may_start(&self, world: &World, operation: u8, record: Stored) -> bool {
        let facts = self.rules.facts(record);
        self.is_starting(facts) || facts.may_start && is_start_under_way(world, operation)
    }

    fn turned(&self, world: &mut World, mut process: Process, line: Line, joining: bool) {
        process.doing = match joining {
            true => Doing::Queue,
            false if line[0] == Some(process.operation) => Doing::Decide(Happening::Prepared),
            false => Doing::Decide(Happening::NotReady),
        };
        world.add(process);
    }

    fn ends(&self, old: Stored, new: Stored) -> bool {
        self.rules.facts(old).outcome.is_none() && self.rules.facts(new).outcome.is_some()
    }

    fn delivers(&self, old: Stored, new: Stored) -> bool {
        let delivered = |stored| {
            let phase = self.rules.facts(stored).phase;
            phase == crate::words::Phase::Closed { delivered: true }
        };
        delivered(new) && !delivered(old)
    }

    fn comes_late(&self, old: Stored, new: Stored) -> bool {
        use crate::words::Phase::{Running, StartUnknown};
        let (old, new) = (self.rules.facts(old).phase, self.rules.facts(new).phase);
        self.rules.work.class() == Restart::Never && old == StartUnknown && new == Running
    }

    /// The target of a poll: the record says it. A message's word counts only in a broken variant.
    pub(crate) fn monitor(&self, process: &Process) -> crate::words::Place {
        if self.variant == Some(Variant::LocationFromMessage)
            && let Role::Worker(ticket) = process.role
            && let Kind::Poll { place, .. } = ticket.kind
        {
            return place;
        }
        self.rules.facts(process.copy).monitor
    }
}

fn without(line: Line, operation: u8) -> Line {
    let mut rest = line.into_iter().flatten().filter(|one| *one != operation);
    [rest.next(), rest.next()]
}
