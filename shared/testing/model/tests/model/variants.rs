//! The test of the test: twenty-four ways to build it wrong, each of which the checker must catch.

use crate::checked::Configuration;
use crate::configurations::{CLASSES, announcement, line_of_looks};
use crate::properties::{
    ANNOUNCED, I1, I2, I3, I4, I5, I6, I9, I14, KEPT, LANE, NO_SECOND_JOB, ONE_ANNOUNCEMENT,
    RECEIVER, RESTART, SEEN, SENT_ONCE, STAGE,
};
use crate::report::breaks;
use crate::works::Work;
use crate::world::Chance;

/// One broken courier. Some break the order in which the host acts, some what is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    GraphBeforeRecord,
    QueueAfterGraph,
    NoClaim,
    RerunOnExpiredLease,
    RefusalAfterLossIsRejection,
    UnconditionalTerminalWrite,
    NewEventIdPerAttempt,
    DeleteBeforeSend,
    LossIsFailure,
    DropWhileStarting,
    MessageBeforeRecord,
    LocationFromMessage,
    AnyReceiverCloses,
    ParkedIsGivenUp,
    /// A job of class never that does not appear is started again.
    AbsentIsRestart,
    /// A look counts as made when its answer is judged.
    LateLookCounts,
    /// An answer counts whatever was asked.
    AnyAnswerCounts,
    LookIsSilent,
    LookIsLast,
    LookLeavesLine,
    StageFalls,
    LookTakesOutcome,
    /// A callback that is delivered closes, announced or not.
    CallbackClosesAll,
    NewAnnouncementPerAttempt,
}

fn caught(variant: Variant, work: Work, invariant: &'static str, chances: &[(Chance, u8)]) {
    let faults = chances.iter().map(|(_, times)| times).sum();
    let configuration = Configuration {
        variant: Some(variant),
        ..Configuration::of(work, faults, chances)
    };
    breaks(&format!("{variant:?} {work:?}"), invariant, configuration);
}

#[test]
fn graph_before_record_is_caught() {
    let chances = [(Chance::Crash, 1)];
    caught(Variant::GraphBeforeRecord, Work::Export, I5, &chances);
}

#[test]
fn queue_after_graph_is_caught() {
    let chances = [(Chance::Crash, 1)];
    caught(Variant::QueueAfterGraph, Work::Export, I5, &chances);
}

#[test]
fn no_claim_is_caught() {
    caught(Variant::NoClaim, Work::Export, I1, &[]);
}

#[test]
fn a_rerun_of_class_never_on_an_expired_lease_is_caught() {
    let chances = [(Chance::Crash, 1)];
    caught(Variant::RerunOnExpiredLease, Work::Export, I1, &chances);
}

#[test]
fn a_definite_error_after_a_lost_answer_as_start_rejected_is_caught() {
    let chances = [(Chance::LostAnswer, 1), (Chance::Refusal, 1)];
    let variant = Variant::RefusalAfterLossIsRejection;
    caught(variant, Work::Goals, I6, &chances);
    caught(variant, Work::Schedule, I6, &chances);
}

#[test]
fn an_unconditional_terminal_write_is_caught() {
    let variant = Variant::UnconditionalTerminalWrite;
    caught(variant, Work::Export, I3, &[(Chance::Outlived, 1)]);
}

#[test]
fn a_new_event_id_per_attempt_is_caught() {
    let chances = [(Chance::Callback, 1)];
    caught(Variant::NewEventIdPerAttempt, Work::Export, I4, &chances);
}

#[test]
fn delete_before_send_is_caught() {
    // One kills the request, so that a worker starts; one kills the worker.
    let chances = [(Chance::Crash, 2)];
    caught(Variant::DeleteBeforeSend, Work::Export, I5, &chances);
}

#[test]
fn a_lost_answer_as_failed_is_caught() {
    let chances = [(Chance::LostAnswer, 1)];
    for work in CLASSES {
        caught(Variant::LossIsFailure, work, I6, &chances);
    }
}

#[test]
fn a_message_dropped_while_starting_is_caught() {
    let chances = [(Chance::Crash, 1)];
    caught(Variant::DropWhileStarting, Work::Export, I5, &chances);
}

#[test]
fn a_message_before_its_record_that_is_dropped_is_caught() {
    let chances = [(Chance::Crash, 1)];
    caught(Variant::MessageBeforeRecord, Work::Export, I5, &chances);
}

#[test]
fn a_location_taken_from_the_message_is_caught() {
    let chances = [(Chance::Forged, 1)];
    caught(Variant::LocationFromMessage, Work::Export, I9, &chances);
}

#[test]
fn an_answer_of_the_earlier_receiver_that_closes_is_caught() {
    let chances = [(Chance::Retarget, 1)];
    let variant = Variant::AnyReceiverCloses;
    caught(variant, Work::Export, RECEIVER, &chances);
}

#[test]
fn a_parked_completion_that_is_dropped_is_caught() {
    let chances = [(Chance::Park, 1)];
    caught(Variant::ParkedIsGivenUp, Work::Export, I5, &chances);
}

#[test]
fn a_second_start_of_class_never_after_a_look_is_caught() {
    let chances = [(Chance::LostAnswer, 1)];
    let variant = Variant::AbsentIsRestart;
    caught(variant, Work::Workflow, RESTART, &chances);
    caught(variant, Work::Workflow, SENT_ONCE, &chances);
}

#[test]
fn a_look_that_was_made_too_early_and_judged_late_is_caught() {
    let chances = [(Chance::LostAnswer, 1)];
    let variant = Variant::LateLookCounts;
    caught(variant, Work::Ediscovery, NO_SECOND_JOB, &chances);
}

#[test]
fn an_answer_about_the_job_that_counts_for_what_it_made_is_caught() {
    let chances = [(Chance::Duplicate, 1), (Chance::Running, 1)];
    caught(Variant::AnyAnswerCounts, Work::Team, SEEN, &chances);
}

#[test]
fn a_look_for_a_job_that_does_not_say_why_it_waits_is_caught() {
    let variant = Variant::LookIsSilent;
    caught(variant, Work::Workflow, I14, &[]);
}

#[test]
fn a_look_for_a_job_that_is_the_last_one_is_caught() {
    caught(Variant::LookIsLast, Work::Workflow, I5, &[]);
}

#[test]
fn a_start_while_the_one_before_it_is_looked_for_is_caught() {
    let configuration = Configuration {
        variant: Some(Variant::LookLeavesLine),
        ..line_of_looks()
    };
    breaks("LookLeavesLine", LANE, configuration);
}

#[test]
fn a_look_after_a_success_that_begins_again_is_caught() {
    caught(Variant::StageFalls, Work::Team, STAGE, &[]);
}

#[test]
fn a_look_after_a_success_that_decides_the_outcome_is_caught() {
    caught(Variant::LookTakesOutcome, Work::Team, KEPT, &[]);
}

#[test]
fn an_operation_that_closes_without_its_announcement_is_caught() {
    let configuration = Configuration {
        variant: Some(Variant::CallbackClosesAll),
        ..announcement(true)
    };
    breaks("CallbackClosesAll", ANNOUNCED, configuration);
}

#[test]
fn a_new_announcement_per_attempt_is_caught() {
    let configuration = Configuration {
        variant: Some(Variant::NewAnnouncementPerAttempt),
        ..announcement(true)
    };
    breaks("NewAnnouncementPerAttempt", ONE_ANNOUNCEMENT, configuration);
}

/// Not a variant of ours: Graph itself keeps I2 by its 409, and without that the checker sees it broken.
#[test]
fn two_pending_jobs_are_seen_when_graph_forgets_its_409() {
    let configuration = Configuration {
        forgetful_graph: true,
        ..Configuration::of(Work::Goals, 1, &[(Chance::LostAnswer, 1)])
    };
    breaks("forgetful Graph", I2, configuration);
}
