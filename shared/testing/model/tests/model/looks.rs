//! Looks, for a job whose URL is not known and after a job's success: what Graph may answer, and what a write says.

use courier_core::catalogue::Restart;
use courier_core::operation::Outcome;

use crate::checked::Checked;
use crate::peers::index;
use crate::variants::Variant;
use crate::words::{Facts, Phase, Place, PollReply, Stored};
use crate::works::STAGES;
use crate::world::{Chance, Job, Process, World};

impl Checked {
    pub(crate) fn note_look(&self, world: &mut World, operation: u8, old: Stored, new: Stored) {
        let (old, new) = (self.rules.facts(old), self.rules.facts(new));
        if (old.phase, new.phase) == (Phase::Locating, Phase::Accepted) {
            let never = self.rules.work.class() == Restart::Never;
            let kept = world.operation(operation);
            let again = kept.restarted >= old.attempt;
            let is_there = !kept.jobs.is_empty() || kept.on_the_wire > 0;
            kept.restarted = old.attempt;
            world.broken.restarted_twice |= never || again;
            world.broken.restarted_over_job |= is_there;
        }
        let Some((stage, outcome)) = old.follow_up else {
            return;
        };
        match (new.outcome, new.follow_up) {
            (Some(ended), _) => {
                world.broken.outcome_changed |= ended != outcome && ended != Outcome::Cancelled;
            }
            (None, Some((next, kept))) => {
                world.broken.stage_fell |= next < stage;
                world.broken.outcome_changed |= kept != outcome;
            }
            (None, None) => world.broken.stage_fell = true,
        }
    }

    /// As `State::is_starting` has it.
    pub(crate) fn is_starting(&self, facts: Facts) -> bool {
        let forgets = self.variant == Some(Variant::LookLeavesLine);
        facts.starting && !(forgets && facts.phase == Phase::Locating)
    }

    /// A job appears in the list some time after it began, at the latest when it must have appeared. By then Graph has
    /// processed every start.
    pub(crate) fn look_replies(
        &self,
        world: &World,
        process: &Process,
        facts: Facts,
    ) -> Vec<PollReply> {
        let kept = &world.operations[usize::from(process.operation)];
        let newest = kept.jobs.len().checked_sub(1).map(index);
        let mut replies: Vec<PollReply> = newest.map(PollReply::Found).into_iter().collect();
        if facts.settles && newest.is_none() && kept.on_the_wire == 0 {
            replies.push(PollReply::Absent { settled: true });
        }
        replies.push(PollReply::Absent { settled: false });
        if world.budget.allows(Chance::Hiccup) {
            let hidden = |settled| PollReply::Hidden { settled };
            replies.extend([PollReply::Lost, PollReply::NotReady, hidden(false)]);
            replies.extend(facts.settles.then_some(hidden(true)));
        }
        replies
    }
}

/// What a job has made can be seen some time after its success, or never. One that is on its way may succeed meanwhile.
pub(crate) fn made_replies(world: &World, process: &Process) -> Vec<PollReply> {
    let jobs = &world.operations[usize::from(process.operation)].jobs;
    let may_be_there = jobs.iter().any(|job| *job != Job::Failed);
    let mut replies: Vec<PollReply> = may_be_there
        .then_some(PollReply::Visible)
        .into_iter()
        .collect();
    replies.push(PollReply::NotYet);
    if world.budget.allows(Chance::Hiccup) {
        replies.extend([
            PollReply::Unauthorized,
            PollReply::Lost,
            PollReply::NotReady,
        ]);
    }
    replies
}

pub(crate) fn see(world: &mut World, operation: u8, place: Place) {
    let kept = world.operation(operation);
    if !kept.jobs.contains(&Job::Succeeded)
        && let Some(pending) = kept.jobs.iter().position(|job| *job == Job::Pending)
    {
        kept.jobs[pending] = Job::Succeeded;
    }
    if let Place::Made(stage) = place {
        kept.seen |= 1 << stage.min(STAGES);
    }
}
