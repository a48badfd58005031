//! The invariants, word for word (ARCHITECTURE.md), and what must be reachable so that they mean something.

use courier_core::catalogue::Restart;
use courier_core::operation::{DeliveryOutcome, Outcome, Reason};
use stateright::{Model, Property};

use crate::actions::Action;
use crate::checked::Checked;
use crate::peers::Fate;
use crate::words::{CallReply, Clock, Facts, Happening, Phase};
use crate::works::{STAGES, Work};
use crate::world::{Budget, Chance, Doing, Job, Operation, Process, World};

type Condition = fn(&Checked, &World) -> bool;

pub(crate) const I1: &str = "I1 class never: Graph jobs per operation <= 1";
pub(crate) const I2: &str = "I2 adopt: pending jobs per key <= 1";
pub(crate) const I3: &str = "I3 at most one write into Ended";
pub(crate) const I4: &str = "I4 all deliveries of an event carry one id and one body";
pub(crate) const I5: &str = "I5 nothing stuck: no process and no message => Closed, or never acknowledged and never started";
pub(crate) const I5_SWEPT: &str = "I5 nothing stuck: no process, no message and not to be swept => Closed, or never acknowledged and never started";
pub(crate) const I6: &str = "I6 truthful: succeeded => the job succeeded; start_rejected => no job";
pub(crate) const I7: &str = "I7 no callback before Ended is durable";
pub(crate) const I8: &str = "I8 acknowledged => finally Closed once faults stop";
pub(crate) const I9: &str = "I9 a token is never sent to a Location other than the record's";
pub(crate) const I14: &str = "I14 a look or a start that has brought nothing => a reason";
pub(crate) const ANNOUNCED: &str =
    "closed, where events are configured => the end was announced, or that was given up";
pub(crate) const ONE_ANNOUNCEMENT: &str = "all announcements of an end carry one id and one body";
pub(crate) const NOT_BEFORE: &str = "no announcement before Ended is durable";
pub(crate) const RECEIVER: &str = "delivered => the receiver of that time has taken it";
pub(crate) const SECRETS: &str = "no start without its secrets";
pub(crate) const ORDER: &str = "an old schedule never overwrites a newer one";
pub(crate) const SENT_ONCE: &str =
    "class never: at most one start is sent that Graph may have processed";
pub(crate) const RESTART: &str =
    "started again after a look: at most once for each lost start, never of class never";
pub(crate) const NO_SECOND_JOB: &str =
    "started again after a look: never while the job is there to be found";
pub(crate) const STAGE: &str = "the number of the look after a success never falls";
pub(crate) const KEPT: &str = "the outcome of a job that is followed up is the operation's";
pub(crate) const SEEN: &str =
    "succeeded, and not said to be unverified => what the job made was seen";
pub(crate) const LANE: &str = "no start is sent while one before it in line is looked for";

const ALWAYS: [(&str, Condition); 23] = [
    (I1, |model, world| {
        model.rules.work.class() != Restart::Never
            || each(world, |operation| operation.jobs.len() <= 1)
    }),
    (I2, |model, world| {
        let pending = |job: &&Job| **job == Job::Pending;
        model.rules.work.class() != Restart::Adopt
            || each(world, |operation| {
                operation.jobs.iter().filter(pending).count() <= 1
            })
    }),
    (I3, |_, world| {
        each(world, |operation| operation.ended_writes <= 1)
    }),
    (I4, |_, world| !world.broken.two_completions),
    (I6, |model, world| {
        each(world, |operation| is_truthful(model, operation))
    }),
    (I7, |_, world| !world.broken.called_before_end),
    (I8, finally_closed),
    (I9, |_, world| !world.broken.token_elsewhere),
    (I14, |model, world| !any(model, world, |facts| facts.silent)),
    (ANNOUNCED, |model, world| {
        !model.configuration.announced || each(world, |operation| is_announced(model, operation))
    }),
    (ONE_ANNOUNCEMENT, |_, world| !world.broken.two_announcements),
    (NOT_BEFORE, |_, world| !world.broken.announced_before_end),
    (RECEIVER, |_, world| !world.broken.delivered_elsewhere),
    (SECRETS, |_, world| !world.broken.start_without_secrets),
    (ORDER, |_, world| !world.broken.old_over_new),
    (SENT_ONCE, |_, world| !world.broken.sent_twice),
    (RESTART, |_, world| !world.broken.restarted_twice),
    // A lease is longer than a start can live; a start that outlives it all the same may come after the look.
    (NO_SECOND_JOB, |model, world| {
        model.configuration.budget.allows(Chance::Outlived) || !world.broken.restarted_over_job
    }),
    (STAGE, |_, world| !world.broken.stage_fell),
    (KEPT, |_, world| !world.broken.outcome_changed),
    (SEEN, |model, world| {
        each(world, |operation| is_seen(model, operation))
    }),
    (LANE, |_, world| !world.broken.out_of_turn),
    // Where messages are lost, the sweeper is the net.
    (I5_SWEPT, |model, world| nothing_stuck(model, world, true)),
];

const REACHED: [(&str, Condition); 16] = [
    (
        "announced before the callback was delivered",
        |model, world| {
            any(model, world, |facts| {
                facts.announced == Some(DeliveryOutcome::Delivered) && facts.phase == Phase::Ended
            })
        },
    ),
    ("announcement given up", |model, world| {
        any(model, world, |facts| {
            facts.announced == Some(DeliveryOutcome::Undeliverable) && facts.is_closed()
        })
    }),
    ("all closed", |model, world| {
        each(world, |operation| {
            operation
                .record
                .is_some_and(|record| model.rules.facts(record).is_closed())
        })
    }),
    ("delivered", |model, world| {
        any(model, world, |facts| {
            facts.phase == Phase::Closed { delivered: true }
        })
    }),
    ("undeliverable", |model, world| {
        any(model, world, |facts| {
            facts.phase == Phase::Closed { delivered: false }
        })
    }),
    ("delivered to the second receiver", |model, world| {
        any(model, world, |facts| {
            facts.phase == Phase::Closed { delivered: true } && facts.target == 1
        })
    }),
    ("unknown", |model, world| {
        any(model, world, |facts| {
            facts.outcome == Some(Outcome::Unknown) && facts.is_closed()
        })
    }),
    ("adopted", |model, world| {
        any(model, world, |facts| facts.adopted && facts.is_closed())
    }),
    ("called twice", |_, world| {
        !each(world, |operation| operation.receptions < 2)
    }),
    ("late answer", |model, world| {
        !each(world, |operation| !operation.came_late) && any(model, world, Facts::is_closed)
    }),
    ("looked for", |model, world| {
        any(model, world, |facts| facts.phase == Phase::Locating)
    }),
    ("started again after a look", |model, world| {
        !each(world, |operation| operation.restarted == 0) && any(model, world, Facts::is_closed)
    }),
    ("seen by the last look", |model, world| {
        any(model, world, |facts| facts.verified && facts.is_closed())
            && !each(world, |operation| operation.seen & (1 << STAGES) == 0)
    }),
    ("unverified", |model, world| {
        any(model, world, |facts| !facts.verified && facts.is_closed())
    }),
    ("rejected", |model, world| {
        any(model, world, |facts| {
            facts.reason == Some(Reason::StartRejected) && facts.is_closed()
        })
    }),
    ("cancelled", |model, world| {
        any(model, world, |facts| {
            facts.outcome == Some(Outcome::Cancelled) && facts.is_closed()
        })
    }),
];

pub(crate) fn all(model: &Checked) -> Vec<Property<Checked>> {
    let mut properties: Vec<_> = ALWAYS
        .iter()
        .map(|(name, condition)| Property::always(name, *condition))
        .collect();
    if !model.configuration.swept {
        properties.retain(|property| property.name != I5_SWEPT);
        let strict = Property::always(I5, |model: &Checked, world: &World| {
            nothing_stuck(model, world, false)
        });
        properties.push(strict);
    }
    let wanted = |name: &&str| model.configuration.reached.contains(name);
    let reached = REACHED.iter().filter(|(name, _)| wanted(name));
    properties.extend(reached.map(|(name, condition)| Property::sometimes(name, *condition)));
    properties
}

pub(crate) fn is_invariant(name: &str) -> bool {
    name == I5 || ALWAYS.iter().any(|(invariant, _)| *invariant == name)
}

fn each(world: &World, holds: impl Fn(&Operation) -> bool) -> bool {
    world.operations.iter().all(holds)
}

fn any(model: &Checked, world: &World, holds: impl Fn(&Facts) -> bool) -> bool {
    let records = world
        .operations
        .iter()
        .filter_map(|operation| operation.record);
    records
        .into_iter()
        .any(|record| holds(&model.rules.facts(record)))
}

fn nothing_stuck(model: &Checked, world: &World, swept: bool) -> bool {
    (0_u8..).zip(&world.operations).all(|(number, operation)| {
        let carried = world
            .processes
            .iter()
            .any(|process| process.operation == number)
            || world.queue.iter().any(|ticket| ticket.operation == number);
        let facts = operation.record.map(|record| model.rules.facts(record));
        let closed = facts.is_some_and(|facts| facts.is_closed());
        let claimed = facts.is_some_and(|facts| facts.attempt > 0);
        let started = claimed || !operation.jobs.is_empty() || operation.on_the_wire > 0;
        let watched = swept && facts.is_some_and(|facts| facts.watched);
        carried || closed || watched || (!operation.acknowledged && !started)
    })
}

fn is_announced(model: &Checked, operation: &Operation) -> bool {
    let Some(record) = operation.record else {
        return true;
    };
    let facts = model.rules.facts(record);
    match facts.announced {
        _ if !facts.is_closed() => true,
        Some(DeliveryOutcome::Delivered) => operation.told,
        Some(DeliveryOutcome::Undeliverable) => true,
        Some(DeliveryOutcome::NotRequested) | None => false,
    }
}

fn is_seen(model: &Checked, operation: &Operation) -> bool {
    let facts = operation.record.map(|record| model.rules.facts(record));
    let claims =
        facts.is_some_and(|facts| facts.outcome == Some(Outcome::Succeeded) && facts.verified);
    let is_followed = model.rules.work == Work::Team;
    let all = (1..=STAGES).all(|stage| operation.seen & (1 << stage) != 0);
    !is_followed || !claims || all
}

fn is_truthful(model: &Checked, operation: &Operation) -> bool {
    let Some(record) = operation.record else {
        return true;
    };
    let facts = model.rules.facts(record);
    let jobs = &operation.jobs;
    match (facts.outcome, facts.reason) {
        // What is there already may only be on its way: the result then says that nobody has seen it.
        (Some(Outcome::Succeeded), _) => {
            jobs.contains(&Job::Succeeded) || operation.completed || !facts.verified
        }
        (Some(Outcome::Failed), Some(Reason::OperationFailed)) => {
            // A schedule may be put again after it failed.
            model.rules.work == Work::Schedule || jobs.contains(&Job::Failed)
        }
        (Some(Outcome::Failed), Some(Reason::StartRejected)) => {
            jobs.is_empty() && operation.on_the_wire == 0
        }
        (Some(Outcome::Failed), _) => false,
        _ => true,
    }
}

/// From every state in which no process lives, what is left in the queue, and the sweeper, lead to the end without
/// another fault. A state with processes leads to one without, for each of them takes a bounded number of steps.
fn finally_closed(model: &Checked, world: &World) -> bool {
    let owed = |operation: &Operation| {
        let record = operation.record.map(|record| model.rules.facts(record));
        operation.acknowledged && !record.is_some_and(|facts| facts.is_closed())
    };
    if !world.processes.is_empty() || !world.operations.iter().any(owed) {
        return true;
    }
    let mut calm = world.clone();
    calm.budget = Budget::none();
    for operation in &mut calm.operations {
        operation.lingering = None;
        operation.on_the_wire = 0;
        operation.received = None;
        operation.receptions = 0;
        operation.heard = None;
        operation.told = false;
        operation.taken = 0;
        operation.ended_writes = 0;
        operation.came_late = false;
        operation.may_have_run = false;
        operation.restarted = 0;
        operation.seen = 0;
    }
    let mut drained = model.drained.lock().expect("no panic while it was held");
    if let Some(closed) = drained.get(&calm) {
        return *closed;
    }
    let closed = drain(model, calm.clone(), owed);
    drained.insert(calm, closed);
    closed
}

/// Far more than any of them takes.
const STEPS: usize = 500;

/// So many deliveries are well done before the sweeper comes.
const UNSWEPT: usize = 30;

/// Goes on without faults, every pause being over: the messages by turns, and at long last the sweeper.
fn drain(model: &Checked, mut world: World, owed: impl Fn(&Operation) -> bool) -> bool {
    let mut deliveries = 0;
    for _ in 0..STEPS {
        if !world.operations.iter().any(&owed) {
            return true;
        }
        let next = if let Some(process) = world.processes.first() {
            model.next_state(&world, calm_action(model, &world, process))
        } else {
            deliveries += 1;
            match world.queue.len() {
                0 => Some(swept(model, &world)),
                _ if deliveries % UNSWEPT == 0 => Some(swept(model, &world)),
                waiting => {
                    let ticket = world.queue[deliveries % waiting];
                    model.next_state(&world, Action::Deliver(ticket, Clock::Due))
                }
            }
        };
        world = next.unwrap_or(world);
    }
    false
}

fn calm_action(model: &Checked, world: &World, process: &Process) -> Action {
    match process.doing {
        Doing::Decide(_) => Action::Commit(0, Clock::Due),
        Doing::Post(_) => Action::Post(0, Fate::Answered),
        Doing::Ask => Action::Ask(0, model.poll_replies(world, process)[0]),
        Doing::Call | Doing::Announce => Action::Call(0, CallReply::Taken),
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
        | Doing::SendAfterDelete(_) => Action::Go(0),
    }
}

fn swept(model: &Checked, world: &World) -> World {
    let mut world = world.clone();
    for number in 0..model.configuration.operations {
        model.visit(&mut world, number, Happening::Overdue, Clock::Due);
    }
    world
}
