//! What the broken variants believe and write, apart from the order in which their host acts.

use courier_core::operation::{Outcome, Record, State};

use crate::bind;
use crate::rulebook::Rulebook;
use crate::variants::Variant;
use crate::words::{Happening, Kind, PollReply, Question, StartReply, Ticket};

impl Rulebook {
    /// What the broken variants write.
    pub(crate) fn spoil(&self, before: &Record, after: &mut Record) {
        let is_locating = matches!(after.state, State::Locating { .. });
        if self.variant == Some(Variant::LookIsSilent) && is_locating {
            after.reason = None;
        }
        if self.variant == Some(Variant::StageFalls)
            && let (Some(old), Some(new)) = (before.follow_up, &mut after.follow_up)
            && (old.stage, new.stage) == (2, 2)
        {
            new.stage = 1;
        }
        if self.variant == Some(Variant::CallbackClosesAll)
            && let (State::Ended { outcome }, Some(one)) = (&after.state, &after.announcement)
            && let Some(how) = one.callback
        {
            let outcome = *outcome;
            after.state = State::Closed { outcome, how };
            after.due_at = None;
        }
        if self.variant == Some(Variant::LookTakesOutcome)
            && let (Some(_), State::Ended { outcome }) = (before.follow_up, &mut after.state)
        {
            *outcome = Outcome::Unknown;
        }
    }

    /// The beliefs that the broken variants give to `decide`.
    pub(crate) fn twisted(&self, record: &Record, what: Happening) -> (Record, Happening) {
        let mut asked = record.clone();
        let what = match (self.variant, what) {
            (
                Some(Variant::RefusalAfterLossIsRejection),
                Happening::Started {
                    reply: StartReply::Refused,
                    ..
                },
            ) => {
                asked.maybe_started = false;
                what
            }
            (
                Some(Variant::LossIsFailure),
                Happening::Started {
                    attempt,
                    reply: StartReply::Lost,
                },
            ) => {
                let reply = StartReply::Refused;
                Happening::Started { attempt, reply }
            }
            (Some(Variant::AnyAnswerCounts), Happening::Polled { epoch, reply, .. }) => {
                let place = bind::monitor(self.work, record);
                let asked = Question::Monitor(place);
                Happening::Polled {
                    epoch,
                    asked,
                    reply,
                }
            }
            (
                Some(Variant::LateLookCounts),
                Happening::Polled {
                    epoch,
                    asked,
                    reply: PollReply::Absent { .. },
                },
            ) => Happening::Polled {
                epoch,
                asked,
                reply: PollReply::Absent { settled: true },
            },
            (Some(Variant::AnyReceiverCloses), Happening::Called { epoch, reply, .. }) => {
                let target = bind::target(record);
                Happening::Called {
                    epoch,
                    target,
                    reply,
                }
            }
            (Some(Variant::LocationFromMessage), Happening::Arrived(ticket)) => match ticket.kind {
                Kind::Poll { epoch, .. } => {
                    let place = bind::monitor(self.work, record);
                    let kind = Kind::Poll { epoch, place };
                    Happening::Arrived(Ticket { kind, ..ticket })
                }
                Kind::Watchdog => what,
            },
            _ => what,
        };
        (asked, what)
    }
}
