//! Recognises a template's placeholder that the calling system did not fill in. Two tickets whose keys are both the text
//! `{{issue.key}}` would be one request, and the second would get the first one's answer.

pub(in crate::http) const RULE: &str =
    "must not hold a placeholder that the calling system has not filled in, such as {{issue.key}}";

/// Marks around a name that no number of a ticket contains.
const ANYWHERE: [(&str, &str); 2] = [("{{", "}}"), ("${", "}")];
/// Marks that make a placeholder of a whole value, and may stand in a longer text for something else.
const AROUND: [(&str, &str); 4] = [("<%", "%>"), ("%%", "%%"), ("$(", ")"), ("@{", "}")];

pub(in crate::http) fn is_in(text: &str) -> bool {
    let whole = text.trim();
    let is_around = |(open, close): &(&str, &str)| {
        let rest = whole.strip_prefix(open);
        rest.is_some_and(|rest| rest.ends_with(close))
    };
    let is_within = |(open, close): &(&str, &str)| {
        let rest = text.split_once(open);
        rest.is_some_and(|(_, rest)| rest.contains(close))
    };
    ANYWHERE.iter().any(is_within) || AROUND.iter().any(is_around)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_a_template_engine_would_have_replaced_is_recognised() {
        for text in [
            "{{issue.key}}",
            "{{ ticket.id }}",
            "{{{ticket.id}}}",
            "{{}}",
            "ITSM-{{issue.key}}",
            "{{issue.key}} of {{now}}",
            "${ticket.id}",
            "RITM${number}/1",
            "<%= ticket.id %>",
            "<% id %>",
            " %%ID%% ",
            "$(ticket)",
            "@{triggerBody()?['id']}",
        ] {
            assert!(is_in(text), "{text}");
        }
    }

    #[test]
    fn text_that_only_looks_a_little_like_a_placeholder_is_kept() {
        for text in [
            "RITM0012345",
            "{1b4e28ba-2fa1-11d2-883f-0016d3cca427}",
            "{a}",
            "{{a",
            "a}}",
            "}}{{",
            "$100",
            "$ {a}",
            "${a",
            "}${",
            "100%",
            "%%",
            "%%%",
            "50%% off",
            "a <% b %> c",
            "costs $(5)!",
            "mail@{a}.example",
            "#{a}",
            "[a]",
            "ä{ß}",
            "{ {a} }",
        ] {
            assert!(!is_in(text), "{text}");
        }
    }
}
