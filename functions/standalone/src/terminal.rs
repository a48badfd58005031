//! Text for people: tables, colours, times, and what other systems wrote, made harmless for a terminal.

use std::io::IsTerminal;
use std::time::Duration;

use comfy_table::{ContentArrangement, Row, Table, TableStyle};
use jiff::{SignedDuration, Timestamp};

use crate::settings;

/// The width of output that is not for a terminal: lines are not broken there.
const UNLIMITED: u16 = u16::MAX;

/// What a piece of text says, which decides about its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Bad,
    Warning,
    Busy,
    Dim,
    Strong,
}

impl Tone {
    const ALL: [Self; 6] = [
        Self::Good,
        Self::Bad,
        Self::Warning,
        Self::Busy,
        Self::Dim,
        Self::Strong,
    ];

    /// Returns the colour (ECMA-48 SGR).
    fn code(self) -> &'static str {
        match self {
            Self::Good => "\x1b[32m",
            Self::Bad => "\x1b[1;31m",
            Self::Warning => "\x1b[33m",
            Self::Busy => "\x1b[36m",
            Self::Dim => "\x1b[2m",
            Self::Strong => "\x1b[1m",
        }
    }

    /// Returns the mark that stands for the colour until a table is laid out: it takes no space, and [`shown`] lets none
    /// of them through.
    fn mark(self) -> char {
        match self {
            Self::Good => '\u{2061}',
            Self::Bad => '\u{2062}',
            Self::Warning => '\u{2063}',
            Self::Busy => '\u{2064}',
            Self::Dim => '\u{206a}',
            Self::Strong => '\u{206b}',
        }
    }
}

const END: char = '\u{206f}';
const RESET: &str = "\x1b[0m";

/// Marks text for its colour; [`Screen::paint`] puts the colours in.
pub(crate) fn toned(tone: Tone, text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!("{}{text}{END}", tone.mark())
    }
}

/// What standard output can show.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    pub(crate) coloured: bool,
    /// A terminal whose lines can be drawn anew.
    pub(crate) live: bool,
    terminal: bool,
}

impl Screen {
    /// Looks at standard output, `NO_COLOR` and `TERM`.
    pub(crate) fn of_output() -> Self {
        let stdout = std::io::stdout();
        Self {
            coloured: settings::colours(&stdout),
            live: settings::redraws(&stdout),
            terminal: stdout.is_terminal(),
        }
    }

    /// Puts colours, or nothing, in the place of the marks of [`toned`].
    pub(crate) fn paint(&self, text: &str) -> String {
        let mut painted = String::with_capacity(text.len());
        for letter in text.chars() {
            let tone = Tone::ALL.into_iter().find(|tone| tone.mark() == letter);
            match (tone, letter) {
                (Some(tone), _) if self.coloured => painted.push_str(tone.code()),
                (None, END) if self.coloured => painted.push_str(RESET),
                (Some(_), _) | (None, END) => {}
                (None, letter) => painted.push(letter),
            }
        }
        painted
    }

    /// Returns the columns and lines of the terminal, or columns without end.
    pub(crate) fn size(&self) -> (u16, u16) {
        let known = self
            .terminal
            .then(|| rustix::termios::tcgetwinsize(std::io::stdout()).ok())
            .flatten();
        match known {
            Some(size) if size.ws_col > 0 => (size.ws_col.max(20), size.ws_row.max(5)),
            Some(_) | None => (UNLIMITED, u16::MAX),
        }
    }

    /// Lays rows out below a head, as wide as the terminal at most. Columns with nothing in them are left out.
    pub(crate) fn table(&self, head: &[&str], mut rows: Vec<Vec<String>>) -> String {
        let mut table = Table::new();
        table.load_style(TableStyle::new());
        if !head.is_empty() {
            let is_used = |column: &usize| {
                let mut cells = rows.iter().filter_map(|row| row.get(*column));
                cells.any(|cell| !cell.is_empty())
            };
            let used: Vec<usize> = (0..head.len()).filter(is_used).collect();
            let names = used.iter().map(|column| toned(Tone::Dim, head[*column]));
            table.set_header(Row::from(names.collect::<Vec<String>>()));
            for row in &mut rows {
                let kept = used.iter().filter_map(|column| row.get(*column).cloned());
                *row = kept.collect();
            }
        }
        for row in rows {
            table.add_row(Row::from(row));
        }
        let (width, _) = self.size();
        if width < UNLIMITED {
            table.set_content_arrangement(ContentArrangement::Dynamic);
            table.set_width(width);
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let mut text = String::new();
        for line in table.lines() {
            text.push_str(self.paint(&line).trim_end());
            text.push('\n');
        }
        text
    }
}

/// Returns text of another system with everything escaped that is no visible character.
///
/// Control characters move the cursor and change colours, and some others reverse or hide what stands beside them.
pub(crate) fn shown(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_invisible(letter) {
            safe.extend(letter.escape_unicode());
        } else {
            safe.push(letter);
        }
    }
    safe
}

/// Returns a document as JSON on one line, without characters that a terminal would act on.
pub(crate) fn json_line(document: &serde_json::Value) -> String {
    let mut line = String::new();
    for letter in document.to_string().chars() {
        if is_invisible(letter) {
            // Such a character can only be inside a text, where JSON has this form for it.
            let mut units = [0; 2];
            for unit in letter.encode_utf16(&mut units) {
                line.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            line.push(letter);
        }
    }
    line.push('\n');
    line
}

/// Reports whether a character is a control or format character, or a separator of lines.
fn is_invisible(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Returns a time as seen from `now`: `in 12 min`, `3 h 5 min ago`.
pub(crate) fn relative(at: Timestamp, now: Timestamp) -> String {
    let distance = at.duration_since(now);
    let span = span(distance.unsigned_abs());
    if distance.unsigned_abs() < Duration::from_secs(1) {
        "now".to_owned()
    } else if distance.is_negative() {
        format!("{span} ago")
    } else {
        format!("in {span}")
    }
}

/// Returns a duration in its two largest units.
pub(crate) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |large: u64, unit: &str, small: u64, below: &str| match small {
        0 => format!("{large} {unit}"),
        _ => format!("{large} {unit} {small} {below}"),
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..600 => two(minutes, "min", seconds % 60, "s"),
        600..3_600 => format!("{minutes} min"),
        3_600..86_400 => two(hours, "h", minutes % 60, "min"),
        86_400..864_000 => two(days, "d", hours % 24, "h"),
        _ => format!("{days} d"),
    }
}

/// Reads a duration of the command line, such as `20s`, `10m` or `2d 4h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "must be a duration such as 20s, 10m or 2h".to_owned();
    let signed: SignedDuration = match text.trim().parse::<SignedDuration>() {
        Ok(signed) => signed,
        // Days have no fixed length where clocks are changed; here they have.
        Err(_) => {
            let days = text.trim().strip_suffix('d').ok_or_else(wrong)?;
            let days: i64 = days.parse().map_err(|_| wrong())?;
            SignedDuration::from_secs(days.checked_mul(86_400).ok_or_else(wrong)?)
        }
    };
    Duration::try_from(signed).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_move_hide_or_reverse_text_is_escaped() {
        for (text, safe) in [
            ("plain <b>ü</b> 漢", "plain <b>ü</b> 漢"),
            ("\u{1b}[2Jgone", "\\u{1b}[2Jgone"),
            ("a\r\nb\tc", "a\\u{d}\\u{a}b\\u{9}c"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("\u{202e}txt.exe", "\\u{202e}txt.exe"),
            ("\u{2061}painted\u{206f}", "\\u{2061}painted\\u{206f}"),
        ] {
            assert_eq!(shown(text), safe);
        }
        let document = serde_json::json!({ "a": "\u{1b}\u{9b}\u{202e}\u{e0041}" });
        let line = json_line(&document);
        assert!(
            line.trim_end()
                .chars()
                .all(|letter| letter.is_ascii_graphic())
        );
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read, document);
    }

    #[test]
    fn times_are_told_from_now() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        for (seconds, text) in [
            (0, "now"),
            (1, "in 1 s"),
            (-59, "59 s ago"),
            (725, "in 12 min"),
            (-90, "1 min 30 s ago"),
            (11_100, "in 3 h 5 min"),
            (-93_600, "1 d 2 h ago"),
            (2_678_400, "in 31 d"),
        ] {
            let at = now + SignedDuration::from_secs(seconds);
            assert_eq!(relative(at, now), text);
        }
    }

    #[test]
    fn colours_take_no_space_in_a_table_and_are_left_out_where_unwanted() {
        let screen = |coloured| Screen {
            coloured,
            live: false,
            terminal: false,
        };
        let rows = || {
            vec![
                vec![toned(Tone::Good, "succeeded"), "x".to_owned()],
                vec![toned(Tone::Bad, "failed"), "y".to_owned()],
            ]
        };
        let plain = screen(false).table(&["STATUS", "REF"], rows());
        assert_eq!(plain, "STATUS     REF\nsucceeded  x\nfailed     y\n");
        let coloured = screen(true).table(&[], rows());
        assert_eq!(
            coloured,
            "\x1b[32msucceeded\x1b[0m  x\n\x1b[1;31mfailed\x1b[0m     y\n"
        );
    }

    #[test]
    fn a_duration_has_a_unit_and_is_not_negative() {
        for (text, seconds) in [("20s", 20), ("10m", 600), ("2h", 7_200), ("3d", 259_200)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["", "20", "-5s", "soon", "99999999999999999d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
