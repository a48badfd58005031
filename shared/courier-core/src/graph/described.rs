//! Says what came in place of an answer that can be used, in words for the history and the log that contain no secret.

use crate::catalogue::PollSpec;
use crate::graph::verdict::{Answer, GraphReply};

/// Longest code of Graph that is shown; the known ones have up to 40 characters.
const MAX_CODE_CHARACTERS: usize = 64;

/// Describes the reply to a call; `expected` is given if a status was expected in its body.
pub(crate) fn describe(reply: &GraphReply, expected: Option<&PollSpec>) -> String {
    match reply {
        GraphReply::NotSent(why) => why.clone(),
        GraphReply::Lost(why) => (*why).to_owned(),
        GraphReply::Answer(answer) => of_answer(answer, expected),
    }
}

fn of_answer(answer: &Answer, expected: Option<&PollSpec>) -> String {
    let mut text = format!("Graph answered {}", answer.status);
    match (&answer.error, &answer.media_type) {
        (Some(error), _) => {
            text.push(' ');
            text.extend(error.deepest().chars().take(MAX_CODE_CHARACTERS));
        }
        // No error document of Graph's: a proxy's page, for example.
        (None, Some(media_type)) => text.push_str(&format!(" ({media_type})")),
        (None, None) => {}
    }
    if let Some(challenge) = &answer.challenge {
        text.push_str(&format!(" (WWW-Authenticate: {challenge})"));
    }
    match (answer.status, answer.unreadable, expected) {
        (200..=299, Some(unreadable), Some(_)) => text.push_str(&format!(", but {unreadable}")),
        (200..=299, None, Some(row)) => {
            let places = row.status.join(" or ");
            text.push_str(&format!(", but its body has no status at {places}"));
        }
        (300..=399, ..) => text.push_str("; no redirect is followed"),
        (_, Some(unreadable), _) if answer.media_type.is_some() && answer.status >= 400 => {
            text.push_str(&format!("; {unreadable}"));
        }
        _ => {}
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::catalogue::Catalogue;
    use crate::graph::error;
    use crate::outbound::answer_body::Unreadable;

    fn answer(status: u16) -> Answer {
        Answer {
            status,
            ..Answer::default()
        }
    }

    #[test]
    fn what_came_is_named_with_status_media_type_code_and_why_it_cannot_be_read() {
        let html = |status| Answer {
            media_type: Some("text/html".to_owned()),
            unreadable: Some(Unreadable::NotJson),
            ..answer(status)
        };
        let denied = json!({"error": {"code": "Authorization_RequestDenied", "message": "no"}});
        let coded = |status| Answer {
            error: error::parse(denied.to_string().as_bytes()),
            media_type: Some("application/json".to_owned()),
            ..answer(status)
        };
        let challenged = Answer {
            challenge: Some("invalid_token".to_owned()),
            ..coded(401)
        };
        let json_without_status = Answer {
            body: Some(json!({})),
            media_type: Some("application/json".to_owned()),
            ..answer(200)
        };
        let row = &Catalogue::shipped().find("team.schedule").unwrap().poll;
        for (answer, words) in [
            (
                html(200),
                "Graph answered 200 (text/html), but its body is not JSON",
            ),
            (
                html(502),
                "Graph answered 502 (text/html); its body is not JSON",
            ),
            (
                json_without_status,
                "Graph answered 200 (application/json), but its body has no status at /provisionStatus",
            ),
            (coded(403), "Graph answered 403 Authorization_RequestDenied"),
            (
                challenged,
                "Graph answered 401 Authorization_RequestDenied (WWW-Authenticate: invalid_token)",
            ),
            (answer(503), "Graph answered 503"),
            (answer(302), "Graph answered 302; no redirect is followed"),
        ] {
            let reply = GraphReply::Answer(Box::new(answer));
            assert_eq!(describe(&reply, Some(row)), words);
        }
    }
}
