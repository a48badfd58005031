//! Texts of others, shown as they are: markup is text, and a character that would be unseen or turn the line is named.

use maud::{Markup, Render, html};

/// A text of a caller, of Graph or of a receiver.
pub(crate) struct Text<'t>(pub(crate) &'t str);

/// Characters of a text that are shown; the API bounds most texts far below.
const SHOWN_CHARS: usize = 4_000;

impl Render for Text<'_> {
    fn render(&self) -> Markup {
        let end = self.0.char_indices().nth(SHOWN_CHARS);
        let shown = end.map_or(self.0, |(end, _)| &self.0[..end]);
        // What is within does not turn the text around it.
        html! {
            bdi {
                @for part in shown.split_inclusive(is_unseen) {
                    (part.trim_end_matches(is_unseen))
                    @if let Some(letter) = part.chars().next_back().filter(|last| is_unseen(*last)) {
                        span.unseen { "U+" (format!("{:04X}", u32::from(letter))) }
                    }
                }
                @if end.is_some() { "…" }
            }
        }
    }
}

/// Returns whether a character is a control character, has no width, or changes the direction of the text.
fn is_unseen(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{AD}' | '\u{61C}' | '\u{180E}' | '\u{200B}' | '\u{200E}' | '\u{200F}'
            | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}'
            | '\u{E0000}'..='\u{E007F}')
}

/// Returns words for a name such as `partiallySucceeded` or `deadline_passed`: `partially succeeded`.
pub(crate) fn words(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        match letter {
            '_' | '-' => words.push(' '),
            _ if letter.is_ascii_uppercase() => {
                if !words.is_empty() {
                    words.push(' ');
                }
                words.push(letter.to_ascii_lowercase());
            }
            _ => words.push(letter),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_text_and_unseen_characters_are_named() {
        for (text, shown) in [
            ("plain ü 漢字", "plain ü 漢字"),
            (
                "<img src=x onerror=\"a()\">&",
                "&lt;img src=x onerror=&quot;a()&quot;&gt;&amp;",
            ),
            ("a\u{202E}b", "a<span class=\"unseen\">U+202E</span>b"),
            (
                "\u{0}\n",
                "<span class=\"unseen\">U+0000</span><span class=\"unseen\">U+000A</span>",
            ),
            ("\u{2066}<", "<span class=\"unseen\">U+2066</span>&lt;"),
        ] {
            assert_eq!(
                Text(text).render().0,
                format!("<bdi>{shown}</bdi>"),
                "{text:?}"
            );
        }
        let long = "ü".repeat(SHOWN_CHARS + 1);
        let shown = Text(&long).render().0;
        assert!(shown.ends_with("ü…</bdi>"));
        assert_eq!(
            shown.chars().filter(|letter| *letter == 'ü').count(),
            SHOWN_CHARS
        );
    }

    #[test]
    fn names_become_words() {
        assert_eq!(words("partiallySucceeded"), "partially succeeded");
        assert_eq!(words("deadline_passed"), "deadline passed");
        assert_eq!(words(""), "");
    }
}
