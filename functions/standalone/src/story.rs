//! Puts the demo's lines about an operation in causal order: causes before effects, whichever arrived first and whatever
//! the clock says.

use jiff::Timestamp;

use crate::timeline::Line;

/// The lines about one operation. Its history is in order; everything else is put where it belongs in it.
#[derive(Default)]
pub(crate) struct Story {
    /// The events of the history that have been shown.
    told: Vec<String>,
    /// The events from elsewhere that are shown as soon as their cause is.
    waiting: Vec<(Heard, Line)>,
}

/// The events that are not in the history.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Our answer to the request.
    Answer,
    /// A poll, as Graph saw it.
    Poll,
    /// A callback, as the receiver saw it.
    Callback,
    /// The event that it has ended, as the receiver of events saw it.
    Announcement,
}

/// An entry of the history: its event, and its line.
pub(crate) type Entry = (String, Line);

impl Story {
    pub(crate) fn hear(&mut self, what: Heard, line: Line) {
        self.waiting.push((what, line));
    }

    /// Returns the lines that can be shown now: new entries of the history, and events from elsewhere whose cause is shown.
    ///
    /// The caller reads the history before the journals, so that every poll or callback behind an entry has been heard.
    pub(crate) fn tell(&mut self, entries: Vec<Entry>) -> Vec<Line> {
        let mut lines = Vec::new();
        for (event, line) in entries {
            self.release(&mut lines, |what, at| what.precedes(at, &event, line.at));
            lines.push(line);
            self.told.push(event);
        }
        self.release(&mut lines, |_, _| true);
        lines
    }

    fn release(&mut self, lines: &mut Vec<Line>, is_due: impl Fn(Heard, Timestamp) -> bool) {
        let told = |cause: &str| self.told.iter().any(|event| event == cause);
        for (what, line) in std::mem::take(&mut self.waiting) {
            if told(what.cause()) && is_due(what, line.at) {
                lines.push(line);
            } else {
                self.waiting.push((what, line));
            }
        }
    }
}

impl Heard {
    /// Returns the event of the history that must come before this one.
    fn cause(self) -> &'static str {
        match self {
            Self::Answer => "accepted",
            Self::Poll => "started",
            Self::Callback => "ended",
            // A callback that is due goes first.
            Self::Announcement => "callbackAttempt",
        }
    }

    /// True if what was heard at `at` comes before this entry.
    fn precedes(self, at: Timestamp, event: &str, entry: Timestamp) -> bool {
        match self {
            Self::Answer => at < entry,
            Self::Poll => at <= entry || event == "ended",
            Self::Callback => event == "callbackAttempt",
            Self::Announcement => event == "announcementAttempt",
        }
    }
}

/// The lines of several operations as one, by time; those of one operation keep their order.
pub(crate) fn interleave(stories: Vec<Vec<Line>>) -> Vec<Line> {
    let mut lines = Vec::new();
    for story in stories {
        let mut latest = Timestamp::MIN;
        for line in story {
            latest = latest.max(line.at);
            lines.push((latest, line));
        }
    }
    lines.sort_by_key(|(at, _)| *at);
    lines.into_iter().map(|(_, line)| line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::Colour;

    fn line(at: i64, text: &str) -> Line {
        Line {
            at: Timestamp::from_millisecond(at).unwrap(),
            operation: "team.schedule",
            colour: Colour::Plain,
            text: text.to_owned(),
        }
    }

    fn entry(at: i64, event: &str) -> Entry {
        (event.to_owned(), line(at, event))
    }

    fn texts(lines: Vec<Line>) -> Vec<String> {
        lines.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn within_one_millisecond_causes_come_before_their_effects() {
        let mut story = Story::default();
        story.hear(Heard::Callback, line(5, "called back"));
        story.hear(Heard::Poll, line(5, "poll"));
        let events = ["accepted", "started", "ended", "callbackAttempt"];
        let told = story.tell(events.map(|event| entry(5, event)).into());
        let expected = [
            "accepted",
            "started",
            "poll",
            "ended",
            "called back",
            "callbackAttempt",
        ];
        assert_eq!(texts(told), expected);
    }

    #[test]
    fn what_is_heard_before_its_cause_waits_for_it() {
        let mut story = Story::default();
        story.hear(Heard::Poll, line(3, "poll"));
        story.hear(Heard::Callback, line(4, "called back"));
        assert_eq!(texts(story.tell(vec![entry(1, "accepted")])), ["accepted"]);
        let told = story.tell(vec![entry(2, "started")]);
        assert_eq!(texts(told), ["started", "poll"]);
        let told = story.tell(vec![entry(4, "ended")]);
        assert_eq!(texts(told), ["ended", "called back"]);
    }

    #[test]
    fn a_clock_that_is_set_back_changes_no_order() {
        let mut story = Story::default();
        story.hear(Heard::Poll, line(9, "poll"));
        story.hear(Heard::Callback, line(8, "called back"));
        let told = story.tell(vec![
            entry(1, "accepted"),
            entry(2, "started"),
            entry(4, "ended"),
            entry(3, "callbackAttempt"),
        ]);
        let other = vec![line(4, "other")];
        let told = interleave(vec![told, other]);
        let expected = [
            "accepted",
            "started",
            "other",
            "poll",
            "ended",
            "called back",
            "callbackAttempt",
        ];
        assert_eq!(texts(told), expected);
    }

    #[test]
    fn the_answer_stands_after_what_was_done_for_it_and_before_the_rest() {
        let mut story = Story::default();
        story.hear(Heard::Answer, line(5, "answer"));
        let events = [
            entry(4, "accepted"),
            entry(5, "started"),
            entry(6, "statusChanged"),
        ];
        let told = story.tell(events.into());
        assert_eq!(
            texts(told),
            ["accepted", "started", "answer", "statusChanged"]
        );
    }
}
