//! Tests a start that Graph refuses because the token is not accepted or the app registration lacks a permission.

use courier_core::graph::error::GraphError;
use courier_core::operation::{Reason, Record, State};

use crate::starts::{CLASSES, again, in_flight, refusal, started};
use crate::{operation, replied};

fn assert_waits_for_authorization(record: &Record, name: &str) {
    assert!(matches!(record.state, State::Accepted { .. }), "{name}");
    assert_eq!(record.reason, Some(Reason::AuthorizationLost), "{name}");
    let noted = record.history.last().unwrap();
    assert_eq!(noted.event, "authorizationLost");
    let operation = operation(name);
    let permission = &operation.permissions_of(operation.default_token())[0];
    assert!(noted.detail.as_ref().unwrap().contains(permission));
}

#[test]
fn refused_token_is_replaced_once_and_then_the_operation_waits_for_authorization() {
    for name in CLASSES {
        let mut record = in_flight(name);
        let reason = Some(Reason::NoUsableAnswer);
        let what = ("startUnauthorized", "Graph answered 401", reason);
        let mut expected = again(&record, what, None, Some("r"));
        expected.write.as_mut().unwrap().token_refused = true;
        assert_eq!(started(&record, replied(refusal(401))), expected, "{name}");
        record.token_refused = true;
        let waiting = *started(&record, replied(refusal(401))).write.unwrap();
        assert_waits_for_authorization(&waiting, name);
        // It is noted once, however often the start is refused.
        record.reason = waiting.reason;
        let after = started(&record, replied(refusal(401))).write.unwrap();
        assert_eq!(after.history, record.history, "{name}");
        assert_eq!(after.reason, waiting.reason, "{name}");
    }
}

#[test]
fn start_without_a_granted_permission_waits_for_it_and_any_other_403_is_a_refusal() {
    for (code, message, waits) in [
        ("Authorization_RequestDenied", "no", true),
        (
            "Forbidden",
            "Missing role permissions on the request. API requires one of 'X'.",
            true,
        ),
        (
            "Forbidden",
            "Missing scope permissions on the request.",
            true,
        ),
        (
            "unknown",
            "Insufficient privileges to complete the operation.",
            true,
        ),
        ("Forbidden", "The user has no licence.", false),
    ] {
        for name in CLASSES {
            let mut answer = refusal(403);
            answer.error = Some(GraphError {
                code: code.to_owned(),
                message: message.to_owned(),
                inner_code: None,
                target: None,
                request_id: None,
            });
            let after = *started(&in_flight(name), replied(answer)).write.unwrap();
            if waits {
                assert_waits_for_authorization(&after, name);
            } else {
                assert_eq!(after.reason, Some(Reason::StartRejected), "{name}");
            }
        }
    }
}
