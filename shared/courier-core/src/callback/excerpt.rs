//! Makes the beginning of a receiver's answer fit for the history: on one line and without the secrets that we sent.
//!
//! Receivers repeat what they were sent, mostly in error pages: the URL, a token, a password. Each is redacted in every
//! spelling that a page may use; then everything else that looks like a secret or personal data is redacted too.

use crate::outbound::target_url::CallbackUrl;
use crate::redact::scrub;

/// Maximum length of an excerpt in bytes.
const MAX_EXCERPT_BYTES: usize = 1024;
const REDACTED: &str = "[redacted]";
/// Minimum length in bytes of a part of a URL that is redacted; shorter parts are ordinary words, not secrets.
const MIN_SECRET_BYTES: usize = 8;

/// Returns what an answer may repeat of a callback URL, longest first: the URL, path and query, then their parts.
pub(super) fn secrets_of(url: &CallbackUrl) -> Vec<String> {
    let url = url.as_url();
    let path = url.path();
    let query = url.query().unwrap_or_default();
    let mut secrets = vec![
        url.as_str().to_owned(),
        format!("{path}?{query}"),
        query.to_owned(),
        path.to_owned(),
    ];
    let values = query.split('&').filter_map(|pair| pair.split('=').nth(1));
    secrets.extend(values.chain(path.split('/')).map(str::to_owned));
    secrets.retain(|secret| secret.len() >= MIN_SECRET_BYTES);
    secrets
}

/// Returns at most 1 KiB of the answer, redacted and with control characters escaped; `None` when it is empty.
pub(super) fn of(body: &[u8], secrets: &[String]) -> Option<String> {
    let mut text = String::from_utf8_lossy(body).into_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        for spelling in spellings(secret) {
            text = text.replace(&spelling, REDACTED);
        }
    }
    let scrubbed = scrub(&text);
    let end = scrubbed.floor_char_boundary(MAX_EXCERPT_BYTES);
    let mut line = String::with_capacity(end);
    for character in scrubbed[..end].chars() {
        if character.is_control() || is_invisible(character) {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    (!line.is_empty()).then_some(line)
}

/// Returns the spellings that a page may give a secret.
///
/// They are: unchanged, percent-decoded, percent-encoded once more, with percent digits of either case, escaped for
/// HTML, and escaped for JSON as PHP writes it.
fn spellings(secret: &str) -> Vec<String> {
    let mut spellings = vec![
        secret.to_owned(),
        percent_digits(secret, str::to_ascii_lowercase),
        percent_digits(secret, str::to_ascii_uppercase),
        percent_decoded(secret),
    ];
    for index in 0..spellings.len() {
        let html = spellings[index]
            .replace('&', "&amp;")
            .replace('\'', "&#39;");
        let json = spellings[index].replace('/', "\\/");
        let encoded = url::form_urlencoded::byte_serialize(spellings[index].as_bytes()).collect();
        spellings.extend([html, json, encoded]);
    }
    spellings.sort_by_key(|spelling| std::cmp::Reverse(spelling.len()));
    spellings.dedup();
    spellings
}

/// Applies `case` to the two digits behind each `%`.
fn percent_digits(text: &str, case: fn(&str) -> String) -> String {
    let mut parts = text.split('%');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let (digits, rest) = part.split_at(part.floor_char_boundary(2));
        text + "%" + &case(digits) + rest
    })
}

fn percent_decoded(text: &str) -> String {
    let plus = text.replace('+', "%2B");
    let pairs = url::form_urlencoded::parse(plus.as_bytes());
    // The pairs are joined again with `&` and `=`, so that a whole query keeps its shape.
    let mut decoded = String::new();
    for (index, (name, value)) in pairs.enumerate() {
        if index > 0 {
            decoded.push('&');
        }
        decoded.push_str(&name);
        if !value.is_empty() {
            decoded.push('=');
            decoded.push_str(&value);
        }
    }
    decoded
}

/// Reports whether a character changes the reading direction or cannot be seen.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::address::Allowed;
    use crate::outbound::target_url;

    fn excerpt(body: &str, secrets: &[&str]) -> Option<String> {
        let secrets: Vec<String> = secrets.iter().map(|&secret| secret.to_owned()).collect();
        of(body.as_bytes(), &secrets)
    }

    #[test]
    fn control_characters_are_escaped_and_other_text_is_unchanged() {
        assert_eq!(excerpt("", &[]), None);
        assert_eq!(excerpt("no", &[]).as_deref(), Some("no"));
        let written = excerpt("a\r\n\tb\u{1b}[31mc\u{0}\u{202e}é", &[]).unwrap();
        assert_eq!(written, "a\\r\\n\\tb\\u{1b}[31mc\\u{0}\\u{202e}é");
        assert_eq!(of(b"\xff\xfe!", &[]).as_deref(), Some("\u{fffd}\u{fffd}!"));
    }

    #[test]
    fn long_answer_is_cut_to_one_kibibyte_between_characters() {
        let long = excerpt(&"é".repeat(2000), &[]).unwrap();
        assert_eq!(long.len(), 1024);
        let odd = excerpt(&format!("a{}", "é".repeat(2000)), &[]).unwrap();
        assert_eq!(odd.len(), 1023);
    }

    #[test]
    fn parts_of_the_callback_url_are_redacted_in_every_spelling() {
        let origins = ["https://hooks.example".to_owned()];
        let text = "https://hooks.example/flows/canary-canary-path?v=1&sig=canary%2Bcanary%2F=&k=canaryPlain";
        let url = target_url::parse(text, &origins, &Allowed::default()).unwrap();
        let secrets = secrets_of(&url);
        for page in [
            format!("Cannot POST {text}"),
            "Cannot POST /flows/canary-canary-path".to_owned(),
            "no route for /flows/canary-canary-path?v=1&amp;sig=canary%2Bcanary%2F=&amp;k=canaryPlain".to_owned(),
            r#"{"path":"\/flows\/canary-canary-path"}"#.to_owned(),
            "value canary+canary/= is wrong".to_owned(),
            "value canary%252Bcanary%252F is wrong".to_owned(),
            "value canary%2bcanary%2f= is wrong".to_owned(),
            "value canary%252bcanary%252f is wrong".to_owned(),
            "<b>canaryPlain</b>, and flow canary-canary-path".to_owned(),
        ] {
            let written = of(page.as_bytes(), &secrets).unwrap();
            assert!(!written.contains("canary"), "{page}\n{written}");
        }
        let harmless = of(b"flows v 1: not found", &secrets).unwrap();
        assert_eq!(harmless, "flows v 1: not found");
    }

    #[test]
    fn other_secrets_and_personal_data_are_redacted() {
        let page = "Bearer abcdefghijklmnopqrstuvwxyz for person@contoso.example, token=canary";
        let written = excerpt(page, &[]).unwrap();
        for gone in ["abcdefghijklmnop", "person@", "canary"] {
            assert!(!written.contains(gone), "{written}");
        }
        assert_eq!(
            excerpt("pass: s3cret", &["s3cret"]).unwrap(),
            "pass: [redacted]"
        );
    }
}
