//! Graph and the receiver: what they may answer, and what becomes true outside when they do.

use courier_core::catalogue::Restart;

use crate::bind::JOBS;
use crate::checked::Checked;
use crate::looks;
use crate::words::{CallReply, Channel, Happening, Phase, Place, PollReply, Question, StartReply};
use crate::works::Work;
use crate::world::{Chance, Doing, Job, Operation, Process, Role, World};

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
    TooEarly,
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
            Self::TooEarly => Some(Chance::Early),
            Self::WithoutLocation | Self::ForeignLocation => Some(Chance::Untrackable),
        }
    }

    /// Whether Graph may have begun what was asked for, as far as the sender can know.
    fn may_have_run(self) -> bool {
        match self {
            Self::NotSent
            | Self::Throttled
            | Self::Unauthorized
            | Self::Refused
            | Self::TooEarly => false,
            Self::Answered
            | Self::AnsweredLater
            | Self::LostAfter
            | Self::LostBefore
            | Self::Slow
            | Self::WithoutLocation
            | Self::ForeignLocation => true,
        }
    }
}

const FATES: [Fate; 12] = [
    Fate::Answered,
    Fate::AnsweredLater,
    Fate::LostAfter,
    Fate::LostBefore,
    Fate::Slow,
    Fate::NotSent,
    Fate::Throttled,
    Fate::Unauthorized,
    Fate::Refused,
    Fate::TooEarly,
    Fate::WithoutLocation,
    Fate::ForeignLocation,
];

impl Checked {
    pub(crate) fn fates<'a>(
        &'a self,
        world: &'a World,
        process: &'a Process,
    ) -> impl Iterator<Item = Fate> + 'a {
        let work = self.rules.work;
        let jobs = &world.operations[usize::from(process.operation)].jobs;
        let later = match work {
            Work::Export | Work::Workflow | Work::Ediscovery | Work::Team => false,
            Work::Goals => jobs.contains(&Job::Pending),
            Work::Schedule => true,
        };
        FATES.into_iter().filter(move |fate| {
            let affordable = fate
                .chance()
                .is_none_or(|chance| world.budget.allows(chance));
            let untrackable = fate.chance() == Some(Chance::Untrackable);
            affordable
                && (*fate != Fate::AnsweredLater || later)
                && (*fate != Fate::TooEarly || work == Work::Team)
                && !(untrackable && matches!(work, Work::Schedule | Work::Workflow))
        })
    }

    pub(crate) fn post(&self, world: &mut World, mut process: Process, attempt: u8, fate: Fate) {
        if let Some(chance) = fate.chance() {
            world.budget.take(chance);
        }
        world.broken.start_without_secrets |= !self.rules.facts(process.copy).sealed;
        let operation = process.operation;
        self.note_start(world, operation, fate);
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
            Fate::TooEarly => StartReply::Early,
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
                } else if reply == StartReply::Already {
                    reply
                } else {
                    StartReply::Accepted(place)
                }
            }
        };
        process.doing = Doing::Decide(Happening::Started { attempt, reply });
        world.add(process);
    }

    fn note_start(&self, world: &mut World, operation: u8, fate: Fate) {
        let place = |who| world.joined.iter().position(|other| *other == Some(who));
        let is_ahead = |(other, kept): (u8, &Operation)| {
            let phase = kept.record.map(|record| self.rules.facts(record).phase);
            let ahead = other != operation && place(other) < place(operation);
            ahead && place(other).is_some() && phase == Some(Phase::Locating)
        };
        let out_of_turn = (0..).zip(&world.operations).any(is_ahead);
        world.broken.out_of_turn |= out_of_turn;
        if self.rules.work.class() == Restart::Never && fate.may_have_run() {
            world.broken.sent_twice |= world.operation(operation).may_have_run;
            world.operation(operation).may_have_run = true;
        }
    }

    /// Graph processes a start.
    pub(crate) fn process_start(
        &self,
        world: &mut World,
        operation: u8,
        later: bool,
    ) -> StartReply {
        if self.rules.work == Work::Schedule {
            let job = if later { Job::Succeeded } else { Job::Pending };
            world.put(operation, job);
            let place = Place::Job(0);
            return match job {
                Job::Succeeded => StartReply::Done(place),
                Job::Pending | Job::Failed => StartReply::Accepted(place),
            };
        }
        let jobs = &mut world.operation(operation).jobs;
        let is_there = |job: &Job| matches!(job, Job::Pending | Job::Succeeded);
        if self.rules.work == Work::Team && jobs.iter().any(is_there) {
            return StartReply::Already;
        }
        if self.rules.work == Work::Goals
            && !self.forgetful_graph
            && let Some(pending) = jobs.iter().position(|job| *job == Job::Pending)
        {
            if !later {
                return StartReply::Pending(Place::Job(index(pending)));
            }
            jobs[pending] = Job::Succeeded;
        }
        jobs.push(Job::Pending);
        let job = Place::Job(index(jobs.len() - 1));
        let is_named = self.rules.work != Work::Workflow;
        StartReply::Accepted(if is_named { job } else { Place::Nowhere })
    }

    /// The answers that Graph may give; without faults the first one leads on.
    pub(crate) fn poll_replies(&self, world: &World, process: &Process) -> Vec<PollReply> {
        let facts = self.rules.facts(process.copy);
        if facts.phase == Phase::Locating {
            return self.look_replies(world, process, facts);
        }
        let monitor = self.monitor(process);
        if matches!(monitor, Place::Made(_)) {
            return looks::made_replies(world, process);
        }
        let Some(job) = monitor.job() else {
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
        match self.rules.work {
            Work::Schedule => world.schedule.map(|(_, job)| job),
            Work::Export | Work::Goals | Work::Workflow | Work::Ediscovery | Work::Team => {
                let jobs = &world.operations[usize::from(operation)].jobs;
                jobs.get(job).copied()
            }
        }
    }

    pub(crate) fn ask(&self, world: &mut World, mut process: Process, reply: PollReply) {
        let operation = process.operation;
        let facts = self.rules.facts(process.copy);
        let place = self.monitor(&process);
        let stored = world.operation(operation).record;
        let trusted = stored.map_or(Place::Nowhere, |record| self.rules.facts(record).monitor);
        // Whoever has read the record before its last look was done asks for what it said then.
        let is_earlier = matches!(trusted, Place::Made(_)) && place < trusted;
        world.broken.token_elsewhere |= place == Place::Foreign
            || (trusted != Place::Nowhere
                && place != Place::Nowhere
                && place != trusted
                && !is_earlier);
        match reply {
            PollReply::Succeeded => self.job_is_done(world, operation, place, Job::Succeeded),
            PollReply::Failed => self.job_is_done(world, operation, place, Job::Failed),
            PollReply::Running => world.budget.take(Chance::Running),
            PollReply::Missing => world.budget.take(Chance::Missing),
            PollReply::Unauthorized | PollReply::NotReady | PollReply::Hidden { .. } => {
                world.budget.take(Chance::Hiccup);
            }
            PollReply::Lost => {
                if place != Place::Foreign {
                    world.budget.take(Chance::Hiccup);
                }
            }
            PollReply::Visible => looks::see(world, operation, place),
            PollReply::Found(_) | PollReply::Absent { .. } | PollReply::NotYet => {}
        }
        let asked = if facts.phase == Phase::Locating {
            let attempt = facts.attempt;
            Question::Job { attempt }
        } else {
            Question::Monitor(place)
        };
        let epoch = epoch(&process);
        process.doing = Doing::Decide(Happening::Polled {
            epoch,
            asked,
            reply,
        });
        world.add(process);
    }

    /// A pending job is done at the latest when somebody sees that it is.
    fn job_is_done(&self, world: &mut World, operation: u8, place: Place, end: Job) {
        if self.rules.work == Work::Schedule {
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

    /// The target of events gets the announcement.
    pub(crate) fn announce(&self, world: &mut World, mut process: Process, reply: CallReply) {
        match reply {
            CallReply::Taken => {}
            CallReply::Unheard | CallReply::Refused => world.budget.take(Chance::Callback),
            CallReply::Gone => world.budget.take(Chance::Gone),
        }
        let event = self.rules.facts(process.copy).announcement;
        let kept = &mut world.operations[usize::from(process.operation)];
        let outcome = kept
            .record
            .and_then(|record| self.rules.facts(record).outcome);
        world.broken.announced_before_end |= outcome.is_none() || event.is_none();
        world.broken.two_announcements |= kept.heard.is_some() && kept.heard != event;
        kept.heard = kept.heard.or(event);
        kept.told |= reply == CallReply::Taken;
        let epoch = epoch(&process);
        process.doing = Doing::Decide(Happening::Announced { epoch, reply });
        world.add(process);
    }

    /// The receiver is down or has enough to do: it is not called.
    pub(crate) fn park(&self, world: &mut World, mut process: Process) {
        world.budget.take(Chance::Park);
        let epoch = epoch(&process);
        let channel = if matches!(process.doing, Doing::Announce) {
            Channel::Announcement
        } else {
            Channel::Callback
        };
        process.doing = Doing::Decide(Happening::Deferred { channel, epoch });
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

pub(crate) fn index(job: usize) -> u8 {
    u8::try_from(job).expect("few jobs")
}
