//! Replaces secrets and user names in texts of other systems; in doubt, it replaces too much.

const REDACTED: &str = "[redacted]";
/// Endings of the names whose values are secret (`accessToken`, `%26sig`).
const SECRET_SUFFIXES: [&str; 12] = [
    "sig",
    "signature",
    "token",
    "secret",
    "password",
    "pwd",
    "tempauth",
    "assertion",
    "accountkey",
    "apikey",
    "api_key",
    "api-key",
];
/// Names of an authorization code, to be matched as a whole: `errorCode=…` holds none.
///
/// `26` and `3f` are what remains of a preceding `%26` and `%3F`.
const CODE_NAMES: [&str; 4] = ["code", "26code", "3fcode", "device_code"];

/// Characters that may stand between a name, its `=` or `:`, and its value.
///
/// The backslash stands there where JSON is nested in a text.
const AROUND_VALUES: [char; 4] = [' ', '"', '\'', '\\'];
/// Least length of a token; a shorter word after `Bearer` is taken for English.
const MIN_TOKEN_BYTES: usize = 20;

/// Replaces secrets and user names in a text: queries of URLs, values such as of `sig=…`, bearer tokens, user names.
pub fn scrub(text: &str) -> String {
    let no_queries = without_queries(text);
    let no_bearers = without_bearers(&no_queries);
    let no_assignments = without_assignments(&no_bearers);
    without_user_names(&no_assignments)
}

fn ends_url(letter: char) -> bool {
    letter.is_whitespace() || matches!(letter, '"' | '<' | '>' | '`' | '\\')
}

fn without_queries(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let end = rest[start..]
            .find(ends_url)
            .map_or(rest.len(), |length| start + length);
        let url = &rest[..end];
        match url[start..].find(['?', '#']) {
            Some(query) => {
                kept.push_str(&url[..start + query]);
                kept.push('?');
                kept.push_str(REDACTED);
            }
            None => kept.push_str(url),
        }
        rest = &rest[end..];
    }
    kept + rest
}

/// Replaces the value after `name=` where the name is that of a secret. `%3D` is an equals sign in a nested URL.
fn without_assignments(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((name_end, value_start)) = find_equals(rest) {
        kept.push_str(&rest[..value_start]);
        let holds_secret = is_secret_name(&rest[..name_end]);
        rest = &rest[value_start..];
        if holds_secret {
            let value = rest.trim_start_matches(AROUND_VALUES);
            let (opening, _) = rest.split_at(rest.len() - value.len());
            let end = match opening.chars().last() {
                Some(quote @ ('"' | '\'')) => value.find(quote),
                Some(_) | None => value.find(ends_value),
            };
            kept.push_str(opening);
            kept.push_str(REDACTED);
            rest = &value[end.unwrap_or(value.len())..];
        }
    }
    kept + rest
}

/// Returns the offsets at which the name of the next assignment ends and its value begins.
fn find_equals(text: &str) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    (0..bytes.len()).find_map(|at| match bytes[at] {
        b'=' => Some((at, at + 1)),
        b':' if names_colon_secret(&text[..at]) => Some((at, at + 1)),
        b'%' if bytes[at..].len() >= 3 && bytes[at + 1..at + 3].eq_ignore_ascii_case(b"3d") => {
            Some((at, at + 3))
        }
        _ => None,
    })
}

/// Reports whether a colon after this text assigns a secret: it does in `"password":"…"`, but not in `code: 404`.
fn names_colon_secret(before: &str) -> bool {
    let name = last_name(before);
    SECRET_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

fn is_secret_name(before: &str) -> bool {
    let name = last_name(before);
    CODE_NAMES.contains(&name.as_str())
        || SECRET_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

fn last_name(before: &str) -> String {
    let before = before.trim_end_matches(AROUND_VALUES);
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    let start = before.trim_end_matches(is_part).len();
    before[start..].to_ascii_lowercase()
}

fn ends_value(letter: char) -> bool {
    letter.is_whitespace() || matches!(letter, '&' | '"' | '\'' | '<' | '>' | ',' | ';' | ')' | '}')
}

/// Reports whether a word contains the beginning of a JWT: base64 of `{"`, and dots between its parts (RFC 7519, section 3).
///
/// Ids of Graph may begin like one, but have no dots.
fn has_jwt(word: &str) -> bool {
    let begins = word.find("eyJ");
    begins.is_some_and(|at| word[at..].contains('.'))
}

/// Replaces the token after `Bearer`, and every word that contains the beginning of a JWT.
fn without_bearers(text: &str) -> String {
    let mut after_bearer = false;
    text.split_inclusive(char::is_whitespace)
        .map(|word| {
            let bare = word.trim_end();
            let is_token = bare.len() >= MIN_TOKEN_BYTES && (after_bearer || has_jwt(bare));
            after_bearer = bare.to_ascii_lowercase().ends_with("bearer");
            if is_token {
                word.replace(bare, REDACTED)
            } else {
                word.to_owned()
            }
        })
        .collect()
}

/// Replaces each word with a letter or digit before an `@` (or `%40`): `someone@contoso.com`, `a_b.com#EXT#@c.com`.
fn without_user_names(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((at, length)) = find_at(rest) {
        let start = rest[..at].trim_end_matches(is_name_part).len();
        let after = &rest[at + length..];
        let end = rest.len() - after.trim_start_matches(is_name_part).len();
        if rest[start..at].contains(char::is_alphanumeric) {
            kept.push_str(&rest[..start]);
            kept.push_str(REDACTED);
        } else {
            kept.push_str(&rest[..end]);
        }
        rest = &rest[end..];
    }
    kept + rest
}

fn find_at(text: &str) -> Option<(usize, usize)> {
    let plain = text.find('@').map(|at| (at, 1));
    let encoded = text.find("%40").map(|at| (at, 3));
    plain.into_iter().chain(encoded).min()
}

fn is_name_part(letter: char) -> bool {
    letter.is_alphanumeric()
        || matches!(
            letter,
            '.' | '\'' | '_' | '%' | '+' | '-' | '#' | '!' | '$' | '~'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(scrub(text), expected);
        assert_eq!(scrub(expected), expected, "scrubbing twice changes nothing");
    }

    #[test]
    fn queries_of_urls_are_redacted() {
        check(
            "see https://a.example/c?sv=1&sig=x for it",
            "see https://a.example/c?[redacted] for it",
        );
        check(
            "'https://a.example/c?sig=x'",
            "'https://a.example/c?[redacted]",
        );
        check(
            "<https://a.example/c?sig=x>, \"http://b/?y\"",
            "<https://a.example/c?[redacted]>, \"http://b/?[redacted]\"",
        );
        check(
            "https://a.example/c#access_token=x",
            "https://a.example/c?[redacted]",
        );
        check(
            "https://a/?u=https://b/?sig=x https://c/?z",
            "https://a/?[redacted] https://c/?[redacted]",
        );
        check("https://user:pass@a.example/c", "https://user:[redacted]/c");
        check(
            "https://docs.example/errors/x",
            "https://docs.example/errors/x",
        );
    }

    #[test]
    fn values_of_secret_names_are_redacted() {
        check("sig=abc%2B/+= and more", "sig=[redacted] and more");
        check(
            "a.example/c?sv=1&SIG=abc&se=2",
            "a.example/c?sv=1&SIG=[redacted]&se=2",
        );
        check(
            "https%3A%2F%2Fa.example%2Fc%3Fsv%3D1%26sig%3Dabc%26se%3D2",
            "https%3A%2F%2Fa.example%2Fc%3Fsv%3D1%26sig%3D[redacted]",
        );
        check(
            "code=0.AXoA token=eyJ0, access_token = 'a b' x",
            "code=[redacted] token=[redacted], access_token = '[redacted]' x",
        );
        check(
            "client_secret=a;refresh_token=b",
            "client_secret=[redacted];refresh_token=[redacted]",
        );
        check(
            r#"{"newPassword":"a b","x":1}"#,
            r#"{"newPassword":"[redacted]","x":1}"#,
        );
        check(
            r#"{\"token\":\"abc\",\"x\":1}"#,
            r#"{\"token\":\"[redacted]",\"x\":1}"#,
        );
        check(
            "errorCode=InvalidThing, code: 404, design=blue",
            "errorCode=InvalidThing, code: 404, design=blue",
        );
        check("sig=", "sig=[redacted]");
        check("tempauth=v1.abc&x=1", "tempauth=[redacted]&x=1");
    }

    #[test]
    fn tokens_are_redacted() {
        check(
            "Authorization: Bearer abcdefghijklmnopqrstuvwxyz refused",
            "Authorization: Bearer [redacted] refused",
        );
        check(
            "id eyJfdHlwZSI6Ikdyb3VwIiwiaWQiOiI4MzIxMjc1In0 of a community",
            "id eyJfdHlwZSI6Ikdyb3VwIiwiaWQiOiI4MzIxMjc1In0 of a community",
        );
        check(
            "got eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ4In0.c2ln\nnext",
            "got [redacted]\nnext",
        );
        check("The bearer token is missing", "The bearer token is missing");
    }

    #[test]
    fn user_names_are_redacted() {
        check(
            "User john.doe+x@contoso.com not found",
            "User [redacted] not found",
        );
        check("('o'brien@contoso.com')", "([redacted])");
        check("j_contoso.com#EXT#@fabrikam.onmicrosoft.com.", "[redacted]");
        check(
            "https://graph.microsoft.com/v1.0/users/a@b.com/x",
            "https://graph.microsoft.com/v1.0/users/[redacted]/x",
        );
        check("users/jörg%40b.com/x", "users/[redacted]/x");
        check(
            "property '@odata.type' at @ end",
            "property '@odata.type' at @ end",
        );
        check("someone@", "[redacted]");
    }

    #[test]
    fn text_without_secrets_is_unchanged() {
        for text in [
            "",
            "Goals organization not found",
            "'GoalsOrganizationId' must be specified in 'Export Job', and it should be a valid GUID.",
            "a = b: c (d) 100 %",
            "Access token has expired or is not yet valid.",
            "Ünïcödé ✓ https://",
        ] {
            check(text, text);
        }
    }

    proptest! {
        #[test]
        fn signature_is_redacted_whatever_surrounds_it(before in "[ -~]{0,20}", lead in "([ &?,;(/]|%26|%3F)", equals in "(=|%3D|%3d)", after in "([ &,;]|)[ -~]{0,20}") {
            let scrubbed = scrub(&format!("{before}{lead}sig{equals}Q9Canary{after}"));
            prop_assert!(!scrubbed.contains("Canary"), "{}", scrubbed);
        }

        #[test]
        fn arbitrary_text_does_not_panic(text in "(\\PC|[@=%:/?\"' ]|sig|%3D|%40|://){0,40}") {
            scrub(&text);
        }
    }
}
