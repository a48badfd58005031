//! The table of regulations: how long the answer may take, by how much that may be extended, and what stops the clock.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jiff::ToSpan;
use jiff::civil::Date;
use serde::Deserialize;

/// The rules of one regulation.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Regulation {
    /// Name in the request and in the record.
    #[serde(skip)]
    pub name: String,
    pub title: String,
    months: Option<u16>,
    days: Option<u16>,
    /// The end moves from a Saturday, a Sunday or a public holiday to the next working day.
    pub moves: bool,
    pub extension: Option<ExtensionRule>,
    pub pause: Option<Pause>,
    /// Where the rules are written.
    pub sources: Vec<String>,
    /// The day on which somebody last compared the row with those of its sources that were at hand.
    pub read_on: Date,
}

/// By how much the period may be extended.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtensionRule {
    months: Option<u16>,
    days: Option<u16>,
    /// Not in several steps.
    pub once: bool,
}

/// What stops the clock.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    pub by: PauseBy,
    /// The day of asking and the day of the answer are both left out of the period; else only the days between them.
    pub counts_both_days: bool,
    /// What who relies on a pause has to know.
    pub note: Option<String>,
}

/// Who says that a pause does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PauseBy {
    /// The regulation itself.
    Law,
    /// The authority that watches over it.
    Guidance,
}

/// A number of months or of days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    Months(u16),
    Days(u16),
}

impl Span {
    fn of(months: Option<u16>, days: Option<u16>) -> Self {
        months.map_or_else(|| Self::Days(days.unwrap_or(0)), Self::Months)
    }

    pub fn count(self) -> u16 {
        match self {
            Self::Months(count) | Self::Days(count) => count,
        }
    }

    /// Returns the name of the unit: `months` or `days`.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Months(_) => "months",
            Self::Days(_) => "days",
        }
    }

    /// Returns the last day of a span that begins after `day`: the same-numbered day, or the month's last one.
    ///
    /// An extension by `more` of the same unit is added before the month's last day is taken, as the whole period is
    /// counted from its beginning.
    pub(super) fn after(self, day: Date, more: u16) -> Date {
        match self {
            Self::Months(months) => {
                day.saturating_add((i64::from(months) + i64::from(more)).months())
            }
            Self::Days(days) => day.saturating_add((i64::from(days) + i64::from(more)).days()),
        }
    }
}

impl Regulation {
    /// Returns the regulation of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        Self::all().get(name)
    }

    /// Returns every regulation by its name.
    pub fn all() -> &'static BTreeMap<String, Self> {
        static ALL: LazyLock<BTreeMap<String, Regulation>> = LazyLock::new(|| {
            #[expect(
                clippy::expect_used,
                reason = "the file is compiled in and read by a test"
            )]
            let mut all: BTreeMap<String, Regulation> =
                toml::from_str(include_str!("../../legal/regulations.toml"))
                    .expect("the table of regulations is valid");
            for (name, regulation) in &mut all {
                regulation.name.clone_from(name);
            }
            all
        });
        &ALL
    }

    /// Returns how long the answer may take.
    pub fn period(&self) -> Span {
        Span::of(self.months, self.days)
    }

    /// Returns by how much the period may be extended at most.
    pub fn longest_extension(&self) -> Option<Span> {
        let rule = self.extension.as_ref()?;
        Some(Span::of(rule.months, rule.days))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_regulation_has_one_unit_a_source_and_an_extension_in_the_same_unit() {
        assert!(Regulation::all().len() >= 4);
        for (name, regulation) in Regulation::all() {
            assert_eq!(name, &regulation.name);
            assert_ne!(
                regulation.months.is_some(),
                regulation.days.is_some(),
                "{name}"
            );
            assert!(!regulation.sources.is_empty(), "{name}");
            if let Some(longest) = regulation.longest_extension() {
                assert_eq!(longest.unit(), regulation.period().unit(), "{name}");
                assert!(longest.count() > 0, "{name}");
            }
            let is_guidance = regulation.pause.as_ref().map(|pause| pause.by);
            let has_note = regulation
                .pause
                .as_ref()
                .is_some_and(|pause| pause.note.is_some());
            assert_eq!(is_guidance == Some(PauseBy::Guidance), has_note, "{name}");
        }
    }
}
