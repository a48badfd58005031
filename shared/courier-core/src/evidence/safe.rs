//! What of a history may be shown to anybody: words of closed lists and ids, never a text that may name a person.

use crate::catalogue::Operation;
use crate::operation::Reason;

/// Graph's words for a job that goes on, in small letters. Any other word is shown as a digest only.
const OPEN_WORDS: [&str; 14] = [
    "accepted",
    "active",
    "creating",
    "inprogress",
    "notstarted",
    "pending",
    "processing",
    "provisioning",
    "queued",
    "running",
    "started",
    "submitted",
    "unknownfuturevalue",
    "waiting",
];
/// The longest id or code that is shown.
const MAX_CHARACTERS: usize = 64;

/// Reports whether the detail of an entry is a word or number that names nobody.
pub(super) fn is_safe_detail(event: &str, detail: &str, operation: Option<&Operation>) -> bool {
    match event {
        "ended" => Reason::ALL.iter().any(|reason| reason.as_str() == detail),
        "statusChanged" | "jobSucceeded" => is_status_word(detail, operation),
        "startClaimed" => {
            let number = detail.strip_prefix("attempt ");
            number.is_some_and(|number| number.parse::<u32>().is_ok())
        }
        _ => false,
    }
}

/// Reports whether a word is one that the catalogue or this module lists as a status of Graph.
pub(super) fn is_status_word(word: &str, operation: Option<&Operation>) -> bool {
    let lists = operation.map(|operation| operation.poll.words.lists());
    let known = lists.iter().flatten().flat_map(|(_, words)| words.iter());
    let lower = word.to_ascii_lowercase();
    OPEN_WORDS.contains(&lower.as_str())
        || known
            .into_iter()
            .any(|known| known.eq_ignore_ascii_case(word))
}

/// Reports whether a text has the form of a request id: hexadecimal digits and hyphens.
pub(super) fn is_request_id(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    (1..=MAX_CHARACTERS).contains(&text.len()) && text.bytes().all(is_digit)
}

/// Reports whether a text has the form of a code of Graph's: letters, digits, dots and underscores.
pub(super) fn is_code(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._".contains(&byte);
    (1..=MAX_CHARACTERS).contains(&text.len()) && text.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;

    #[test]
    fn only_words_of_closed_lists_are_shown() {
        let operation = Catalogue::shipped().find("team.schedule");
        for (event, detail, is_safe) in [
            ("ended", "deadline_passed", true),
            ("ended", "Erika Mustermann", false),
            ("statusChanged", "NotStarted", true),
            ("statusChanged", "completed", true),
            ("statusChanged", "ErikaMustermann", false),
            ("startClaimed", "attempt 3", true),
            ("startClaimed", "attempt Erika", false),
            ("acknowledged", "running", false),
        ] {
            assert_eq!(
                is_safe_detail(event, detail, operation),
                is_safe,
                "{event} {detail}"
            );
        }
        assert!(is_request_id("0b6e2b0e-8c1f-4c1a-9a51-3a2f8f0a5f10"));
        assert!(!is_request_id("Erika") && !is_request_id("") && !is_request_id(&"0".repeat(65)));
        assert!(is_code("Request_ResourceNotFound"));
        assert!(!is_code("erika@contoso.example") && !is_code("Erika Mustermann"));
    }
}
