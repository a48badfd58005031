//! Tests that statuses, outcomes, reasons and ids are spelled the same for callers, receivers and stores.

use courier_core::operation::{OperationId, Outcome, Reason, State};

use crate::{EXPORT, accepted, at, held, running, starting};

#[test]
fn operation_id_is_serialized_as_its_text() {
    let id = OperationId::parse("op_0123456789abcdef0123456789abcdef").unwrap();
    assert_eq!(id.bare(), "0123456789abcdef0123456789abcdef");
    assert_eq!(id.to_string(), id.as_str());
    let written = serde_json::to_value(&id).unwrap();
    assert_eq!(written, id.as_str());
    assert_eq!(serde_json::from_value(written).ok(), Some(id));
    let foreign: Result<OperationId, _> = serde_json::from_str("\"op_1\"");
    assert!(foreign.is_err());
    assert_ne!(OperationId::random(), OperationId::random());
}

#[test]
fn outcomes_and_reasons_are_reported_as_they_are_stored() {
    for outcome in Outcome::ALL {
        assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.as_str());
        assert_eq!(State::Ended { outcome }.status(), outcome.as_str());
    }
    for reason in Reason::ALL {
        assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
    }
}

#[test]
fn held_start_has_the_status_starting() {
    for (record, status) in [
        (accepted(EXPORT, at(0)), "accepted"),
        (starting(EXPORT, at(0)), "starting"),
        (held(at(0)), "starting"),
        (running(EXPORT), "running"),
    ] {
        assert_eq!(record.state.status(), status);
    }
}
