//! Which actions a state allows.

use crate::checked::Checked;
use crate::peers::Fate;
use crate::words::{CallReply, Clock, Happening, Kind, Phase, PollReply, Stored, Ticket};
use crate::world::{Chance, Doing, Role, View, World};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Request(u8),
    Deliver(Ticket, Clock),
    /// Returns the place of the process.
    Go(usize),
    Commit(usize, Clock),
    Unanswered(usize, Clock),
    NotReady(usize),
    Post(usize, Fate),
    Ask(usize, PollReply),
    Call(usize, CallReply),
    Park(usize),
    Crash(usize),
    /// The request half has no time left, or an error: the caller gets its 202 all the same.
    GiveUp(usize),
    Stumble(usize, Clock),
    /// The deletion of a message does not last.
    DeleteInVain(usize),
    ApplyLate(u8),
    StartLate(u8),
    Visit(u8, Happening, Clock),
    Lose(Ticket),
    Forge(u8),
    Renew(Ticket),
}

pub(crate) const VISITS: [(Chance, Happening); 4] = [
    (Chance::Cancel, Happening::Cancelled),
    (Chance::Redelivery, Happening::RedeliveryRequested),
    (Chance::Retarget, Happening::Retargeted),
    (Chance::Sweep, Happening::Overdue),
];

impl Checked {
    pub(crate) fn process_actions(&self, world: &World, place: usize, actions: &mut Vec<Action>) {
        let process = &world.processes[place];
        match process.doing {
            Doing::Decide(what) => {
                for clock in self.rules.clocks(process.copy, what) {
                    if !self.is_affordable(world, process.operation, process.copy, what, clock) {
                        continue;
                    }
                    actions.push(Action::Commit(place, clock));
                    let verdict = self.rules.decide(process.copy, what, clock);
                    if verdict.write.is_some()
                        && process.view == View::Current
                        && world.budget.allows(Chance::Unanswered)
                    {
                        actions.push(Action::Unanswered(place, clock));
                    }
                }
                if what == Happening::Prepared && world.budget.allows(Chance::Hiccup) {
                    actions.push(Action::NotReady(place));
                }
            }
            Doing::Post(_) => {
                let fates = self.fates(world, process);
                actions.extend(fates.map(|fate| Action::Post(place, fate)));
            }
            Doing::Ask => {
                let replies = self.poll_replies(world, process);
                actions.extend(replies.iter().map(|reply| Action::Ask(place, *reply)));
            }
            Doing::Call | Doing::Announce => {
                let replies = self.call_replies(world);
                actions.extend(replies.iter().map(|reply| Action::Call(place, *reply)));
                if world.budget.allows(Chance::Park) {
                    actions.push(Action::Park(place));
                }
            }
            Doing::Delete if world.budget.allows(Chance::Duplicate) => {
                actions.extend([Action::Go(place), Action::DeleteInVain(place)]);
            }
            Doing::Insert
            | Doing::Join
            | Doing::Queue
            | Doing::QueueAgain
            | Doing::QueueWait
            | Doing::Repeat(..)
            | Doing::Swap { .. }
            | Doing::Turn
            | Doing::Leave(_)
            | Doing::Wake(..)
            | Doing::Send(..)
            | Doing::Delete
            | Doing::SendAfterDelete(_) => actions.push(Action::Go(place)),
        }
        if matches!(process.doing, Doing::Repeat(..)) {
            actions.push(Action::GiveUp(place));
        }
        if world.budget.allows(Chance::Crash) {
            actions.push(Action::Crash(place));
            if process.role == Role::Caller && is_under_way(process.doing) {
                actions.push(Action::GiveUp(place));
            }
        }
        if world.budget.allows(Chance::Stumble) && matches!(process.role, Role::Worker(_)) {
            actions.extend([Clock::Early, Clock::Due].map(|clock| Action::Stumble(place, clock)));
        }
    }

    pub(crate) fn deliveries(&self, world: &World, actions: &mut Vec<Action>) {
        let mut tickets = world.queue.clone();
        tickets.dedup();
        for ticket in tickets {
            if world.budget.allows(Chance::LostMessage) {
                actions.push(Action::Lose(ticket));
            }
            let free = world.is_free(ticket);
            if (self.configuration.only_starts && matches!(ticket.kind, Kind::Poll { .. }))
                || world.workers() >= self.configuration.workers
                || !(free || world.budget.allows(Chance::Duplicate))
            {
                continue;
            }
            if free
                && matches!(ticket.kind, Kind::Poll { .. })
                && world.budget.allows(Chance::Renewal)
            {
                actions.push(Action::Renew(ticket));
            }
            let record = world.operations[usize::from(ticket.operation)].record;
            match record {
                Some(record) => {
                    let what = Happening::Arrived(ticket);
                    let affordable = |clock: &_| {
                        self.is_affordable(world, ticket.operation, record, what, *clock)
                    };
                    let clocks = self.rules.clocks(record, what).filter(affordable);
                    actions.extend(clocks.map(|clock| Action::Deliver(ticket, clock)));
                }
                None => actions.push(Action::Deliver(ticket, Clock::Due)),
            }
        }
    }

    /// That a lease is over while its start still lives is a fault.
    fn is_affordable(
        &self,
        world: &World,
        operation: u8,
        copy: Stored,
        what: Happening,
        clock: Clock,
    ) -> bool {
        world.budget.allows(Chance::Outlived) || !self.outlived(world, operation, copy, what, clock)
    }

    pub(crate) fn outlived(
        &self,
        world: &World,
        operation: u8,
        copy: Stored,
        what: Happening,
        clock: Clock,
    ) -> bool {
        clock != Clock::Early
            && matches!(what, Happening::Arrived(_) | Happening::Prepared)
            && self.rules.facts(copy).phase == Phase::Starting
            && is_start_under_way(world, operation)
    }

    pub(crate) fn visits(&self, world: &World, number: u8, actions: &mut Vec<Action>) {
        let operation = &world.operations[usize::from(number)];
        let Some(record) = operation.record else {
            return;
        };
        for (chance, what) in VISITS {
            if world.budget.allows(chance) {
                let clocks = self.rules.clocks(record, what);
                actions.extend(clocks.map(|clock| Action::Visit(number, what, clock)));
            }
        }
        if world.budget.allows(Chance::Forged) {
            actions.push(Action::Forge(number));
        }
        if operation.lingering.is_some() {
            actions.push(Action::ApplyLate(number));
        }
        if operation.on_the_wire > 0 {
            actions.push(Action::StartLate(number));
        }
    }
}

pub(crate) fn is_start_under_way(world: &World, operation: u8) -> bool {
    let mut processes = world.processes.iter();
    processes.any(|process| process.operation == operation && is_starting(process.doing))
}

/// A claimed start that has not been written down.
fn is_starting(doing: Doing) -> bool {
    matches!(
        doing,
        Doing::Post(_)
            | Doing::Decide(Happening::Started { .. })
            | Doing::Repeat(Happening::Started { .. }, _)
    )
}

/// The watchdog is queued: whatever goes wrong now, the operation is accepted.
fn is_under_way(doing: Doing) -> bool {
    !matches!(
        doing,
        Doing::Insert
            | Doing::Join
            | Doing::Queue
            | Doing::QueueAgain
            | Doing::Swap { joining: true, .. }
    )
}
