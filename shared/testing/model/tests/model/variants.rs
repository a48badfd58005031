//! The test of the test: fourteen ways to build it wrong, each of which the checker must catch.

use courier_core::catalogue::Restart;

use crate::checked::Configuration;
use crate::configurations::CLASSES;
use crate::properties::{I1, I2, I3, I4, I5, I6, I9, RECEIVER};
use crate::report::breaks;
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
}

fn caught(variant: Variant, class: Restart, invariant: &'static str, chances: &[(Chance, u8)]) {
    let faults = chances.iter().map(|(_, times)| times).sum();
    let configuration = Configuration {
        variant: Some(variant),
        ..Configuration::of(class, faults, chances)
    };
    breaks(&format!("{variant:?} {class:?}"), invariant, configuration);
}

#[test]
fn graph_before_record_is_caught() {
    let chances = [(Chance::Crash, 1)];
    caught(Variant::GraphBeforeRecord, Restart::Never, I5, &chances);
}

#[test]
fn queue_after_graph_is_caught() {
    let chances = [(Chance::Crash, 1)];
    caught(Variant::QueueAfterGraph, Restart::Never, I5, &chances);
}

#[test]
fn no_claim_is_caught() {
    caught(Variant::NoClaim, Restart::Never, I1, &[]);
}

#[test]
fn a_rerun_of_class_never_on_an_expired_lease_is_caught() {
    let chances = [(Chance::Crash, 1)];
    caught(Variant::RerunOnExpiredLease, Restart::Never, I1, &chances);
}

#[test]
fn a_definite_error_after_a_lost_answer_as_start_rejected_is_caught() {
    let chances = [(Chance::LostAnswer, 1), (Chance::Refusal, 1)];
    let variant = Variant::RefusalAfterLossIsRejection;
    caught(variant, Restart::Adopt, I6, &chances);
    caught(variant, Restart::Idempotent, I6, &chances);
}

#[test]
fn an_unconditional_terminal_write_is_caught() {
    let variant = Variant::UnconditionalTerminalWrite;
    caught(variant, Restart::Never, I3, &[(Chance::Outlived, 1)]);
}

#[test]
fn a_new_event_id_per_attempt_is_caught() {
    let chances = [(Chance::Callback, 1)];
    caught(Variant::NewEventIdPerAttempt, Restart::Never, I4, &chances);
}

#[test]
fn delete_before_send_is_caught() {
    // One kills the request, so that a worker starts; one kills the worker.
    let chances = [(Chance::Crash, 2)];
    caught(Variant::DeleteBeforeSend, Restart::Never, I5, &chances);
}

#[test]
fn a_lost_answer_as_failed_is_caught() {
    let chances = [(Chance::LostAnswer, 1)];
    for class in CLASSES {
        caught(Variant::LossIsFailure, class, I6, &chances);
    }
}

#[test]
fn a_message_dropped_while_starting_is_caught() {
    let chances = [(Chance::Crash, 1)];
    caught(Variant::DropWhileStarting, Restart::Never, I5, &chances);
}

#[test]
fn a_message_before_its_record_that_is_dropped_is_caught() {
    let chances = [(Chance::Crash, 1)];
    caught(Variant::MessageBeforeRecord, Restart::Never, I5, &chances);
}

#[test]
fn a_location_taken_from_the_message_is_caught() {
    let chances = [(Chance::Forged, 1)];
    caught(Variant::LocationFromMessage, Restart::Never, I9, &chances);
}

#[test]
fn an_answer_of_the_earlier_receiver_that_closes_is_caught() {
    let chances = [(Chance::Retarget, 1)];
    let variant = Variant::AnyReceiverCloses;
    caught(variant, Restart::Never, RECEIVER, &chances);
}

#[test]
fn a_parked_completion_that_is_dropped_is_caught() {
    let chances = [(Chance::Park, 1)];
    caught(Variant::ParkedIsGivenUp, Restart::Never, I5, &chances);
}

/// Not a variant of ours: Graph itself keeps I2 by its 409, and without that the checker sees it broken.
#[test]
fn two_pending_jobs_are_seen_when_graph_forgets_its_409() {
    let configuration = Configuration {
        forgetful_graph: true,
        ..Configuration::of(Restart::Adopt, 1, &[(Chance::LostAnswer, 1)])
    };
    breaks("forgetful Graph", I2, configuration);
}
