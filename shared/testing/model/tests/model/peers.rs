//! Graph and the receiver: what they may answer, and what becomes true outside when they do.

use courier_core::catalogue::Restart;

use crate::bind::JOBS;
use crate::checked::Checked;
use crate::words::{CallReply, Happening, Place, PollReply, StartReply};
use crate::world::{Chance, Doing, Job, Process, Role, World};

/// The fate of one start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Answered,
    /// The job that was pending is done before this start comes; or the schedule is, with the answer.
    AnsweredLater,
    LostAfter,
    LostBefore,
    /// Its sender has long given up when Graph processes it.
    Slow,
    NotSent,
    Throttled,
    Unauthorized,
    Refused,
    WithoutLocation,
    ForeignLocation,
}

impl Fate {
    /// The cost in the budget.
    pub(crate) fn chance(self) -> Option<Chance> {
        match self {
            Self::Answered | Self::AnsweredLater => None,
            Self::LostAfter | Self::LostBefore => Some(Chance::LostAnswer),
            Self::Slow => Some(Chance::SlowStart),
            Self::NotSent | Self::Throttled | Self::Unauthorized => Some(Chance::Hiccup),
            Self::Refused => Some(Chance::Refusal),
            Self::WithoutLocation | Self::ForeignLocation => Some(Chance::Untrackable),
        }
    }
}

const FATES: [Fate; 11] = [
    Fate::Answered,
    Fate::AnsweredLater,
    Fate::LostAfter,
    Fate::LostBefore,
    Fate::Slow,
    Fate::NotSent,
    Fate::Throttled,
    Fate::Unauthorized,
    Fate::Refused,
    Fate::WithoutLocation,
    Fate::ForeignLocation,
];

impl Checked {
    pub(crate) fn fates<'a>(
        &'a self,
        world: &'a World,
        process: &'a Process,
    ) -> impl Iterator<Item = Fate> + 'a {
        let class = self.rules.class;
        let jobs = &world.operations[usize::from(process.operation)].jobs;
        let later = match class {
            Restart::Never => false,
            Restart::Adopt => jobs.contains(&Job::Pending),
            Restart::Idempotent => true,
        };
        FATES.into_iter().filter(move |fate| {
            let affordable = fate
                .chance()
                .is_none_or(|chance| world.budget.allows(chance));
            let untrackable = fate.chance() == Some(Chance::Untrackable);
            affordable
                && (*fate != Fate::AnsweredLater || later)
                && !(untrackable && class == Restart::Idempotent)
        })
    }

    pub(crate) fn post(&self, world: &mut World, mut process: Process, attempt: u8, fate: Fate) {
        if let Some(chance) = fate.chance() {
            world.budget.take(chance);
        }
        world.broken.start_without_secrets |= !self.rules.facts(process.copy).sealed;
        let operation = process.operation;
        let reply = match fate {
            Fate::Answered => self.process_start(world, operation, false),
            Fate::AnsweredLater => self.process_start(world, operation, true),
            Fate::LostAfter => {
                self.process_start(world, operation, false);
                StartReply::Lost
            }
            Fate::LostBefore => StartReply::Unavailable,
            Fate::Slow => {
                world.operation(operation).on_the_wire += 1;
                StartReply::Lost
            }
            Fate::NotSent => StartReply::NotSent,
            Fate::Throttled => StartReply::Throttled,
            Fate::Unauthorized => StartReply::Unauthorized,
            Fate::Refused => StartReply::Refused,
            Fate::WithoutLocation | Fate::ForeignLocation => {
                let foreign = fate == Fate::ForeignLocation;
                let place = if foreign {
                    Place::Foreign
                } else {
                    Place::Nowhere
                };
                let reply = self.process_start(world, operation, false);
                if matches!(reply, StartReply::Pending(_)) {
                    StartReply::Pending(place)
                } else {
                    StartReply::Accepted(place)
                }
            }
        };
        process.doing = Doing::Decide(Happening::Started { attempt, reply });
        world.add(process);
    }

    /// Graph processes a start.
    pub(crate) fn process_start(
        &self,
        world: &mut World,
        operation: u8,
        later: bool,
    ) -> StartReply {
        if self.rules.class == Restart::Idempotent {
            let job = if later { Job::Succeeded } else { Job::Pending };
            world.put(operation, job);
            let place = Place::Job(0);
            return match job {
                Job::Succeeded => StartReply::Done(place),
                Job::Pending | Job::Failed => StartReply::Accepted(place),
            };
        }
        let jobs = &mut world.operation(operation).jobs;
        if self.rules.class == Restart::Adopt
            && !self.forgetful_graph
            && let Some(pending) = jobs.iter().position(|job| *job == Job::Pending)
        {
            if !later {
                return StartReply::Pending(Place::Job(index(pending)));
            }
            jobs[pending] = Job::Succeeded;
        }
        jobs.push(Job::Pending);
        StartReply::Accepted(Place::Job(index(jobs.len() - 1)))
    }

    pub(crate) fn poll_replies(&self, world: &World, process: &Process) -> Vec<PollReply> {
        let Some(job) = self.monitor(process).job() else {
            return vec![PollReply::Lost];
        };
        let mut replies = match self.job(world, process.operation, job) {
            Some(Job::Pending) => {
                let mut replies = vec![PollReply::Succeeded, PollReply::Failed];
                if world.budget.allows(Chance::Running) {
                    replies.push(PollReply::Running);
                }
                replies
            }
            Some(Job::Succeeded) => vec![PollReply::Succeeded],
            Some(Job::Failed) => vec![PollReply::Failed],
            None => vec![],
        };
        if world.budget.allows(Chance::Missing) {
            replies.push(PollReply::Missing);
        }
        if world.budget.allows(Chance::Hiccup) {
            replies.extend([PollReply::Unauthorized, PollReply::Lost]);
        }
        replies
    }

    fn job(&self, world: &World, operation: u8, job: usize) -> Option<Job> {
        match self.rules.class {
            Restart::Idempotent => world.schedule.map(|(_, job)| job),
            Restart::Never | Restart::Adopt => {
                let jobs = &world.operations[usize::from(operation)].jobs;
                jobs.get(job).copied()
            }
        }
    }

    pub(crate) fn ask(&self, world: &mut World, mut process: Process, reply: PollReply) {
        let operation = process.operation;
        let place = self.monitor(&process);
        let stored = world.operation(operation).record;
        let trusted = stored.map_or(Place::Nowhere, |record| self.rules.facts(record).monitor);
        world.broken.token_elsewhere |=
            place == Place::Foreign || (trusted != Place::Nowhere && place != trusted);
        match reply {
            PollReply::Succeeded => self.job_is_done(world, operation, place, Job::Succeeded),
            PollReply::Failed => self.job_is_done(world, operation, place, Job::Failed),
            PollReply::Running => world.budget.take(Chance::Running),
            PollReply::Missing => world.budget.take(Chance::Missing),
            PollReply::Unauthorized => world.budget.take(Chance::Hiccup),
            PollReply::Lost => {
                if place != Place::Foreign {
                    world.budget.take(Chance::Hiccup);
                }
            }
        }
        let epoch = epoch(&process);
        process.doing = Doing::Decide(Happening::Polled { epoch, reply });
        world.add(process);
    }

    /// A pending job is done at the latest when somebody sees that it is.
    fn job_is_done(&self, world: &mut World, operation: u8, place: Place, end: Job) {
        if self.rules.class == Restart::Idempotent {
            world.settle_schedule(end);
        } else if let Some(job) = place.job() {
            world.operation(operation).jobs[job] = end;
        }
    }

    pub(crate) fn call_replies(&self, world: &World) -> Vec<CallReply> {
        let mut replies = vec![CallReply::Taken];
        if world.budget.allows(Chance::Callback) {
            replies.extend([CallReply::Unheard, CallReply::Refused]);
        }
        if world.budget.allows(Chance::Gone) {
            replies.push(CallReply::Gone);
        }
        replies
    }

    pub(crate) fn call(&self, world: &mut World, mut process: Process, reply: CallReply) {
        match reply {
            CallReply::Taken => {}
            CallReply::Unheard | CallReply::Refused => world.budget.take(Chance::Callback),
            CallReply::Gone => world.budget.take(Chance::Gone),
        }
        let facts = self.rules.facts(process.copy);
        let (event, target) = (facts.event, facts.target);
        let kept = &mut world.operations[usize::from(process.operation)];
        let outcome = kept
            .record
            .and_then(|record| self.rules.facts(record).outcome);
        world.broken.called_before_end |= outcome.is_none() || event.is_none();
        world.broken.two_completions |= kept.received.is_some() && kept.received != event;
        kept.received = kept.received.or(event);
        kept.receptions = (kept.receptions + 1).min(2);
        kept.taken |= u8::from(reply == CallReply::Taken) << target;
        let epoch = epoch(&process);
        process.doing = Doing::Decide(Happening::Called {
            epoch,
            target,
            reply,
        });
        world.add(process);
    }

    /// The receiver is down or has enough to do: it is not called.
    pub(crate) fn park(&self, world: &mut World, mut process: Process) {
        world.budget.take(Chance::Park);
        let epoch = epoch(&process);
        process.doing = Doing::Decide(Happening::Deferred { epoch });
        world.add(process);
    }

    pub(crate) fn within_jobs(&self, world: &World) -> bool {
        let few = |jobs: &Vec<Job>| jobs.len() < usize::from(JOBS);
        world
            .operations
            .iter()
            .all(|operation| few(&operation.jobs))
    }
}

fn epoch(process: &Process) -> u8 {
    match process.role {
        Role::Worker(ticket) => ticket.epoch(),
        Role::Caller | Role::Visitor => 0,
    }
}

fn index(job: usize) -> u8 {
    u8::try_from(job).expect("few jobs")
}
