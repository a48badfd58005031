//! Public holidays: the calendars of this program and those that the configuration names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use jiff::civil::{Date, Weekday};
use serde::Deserialize;

/// The public holidays of whole years. What comes after its last year, or before its first one, it does not know.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calendar {
    /// What the calendar holds, for people.
    #[serde(default)]
    pub title: String,
    /// Where the holidays are laid down.
    #[serde(default)]
    pub source: String,
    pub dates: BTreeSet<Date>,
}

impl Calendar {
    /// Reports whether the calendar knows the holidays of the year of this day.
    pub fn knows(&self, day: Date) -> bool {
        let year = |date: Option<&Date>| date.map(|date| date.year());
        let (first, last) = (year(self.dates.first()), year(self.dates.last()));
        first.is_some_and(|first| first <= day.year())
            && last.is_some_and(|last| day.year() <= last)
    }

    /// Returns the last year whose holidays are known.
    pub fn last_year(&self) -> Option<i16> {
        self.dates.last().map(|date| date.year())
    }
}

/// Every calendar by its name. One of the configuration takes the place of a shipped one.
#[derive(Debug, Clone, Default)]
pub struct Calendars {
    pub own: BTreeMap<String, Calendar>,
    /// The calendar of a request that names none.
    pub default: Option<String>,
}

impl Calendars {
    /// Returns the calendars that the program has without any configuration.
    pub fn shipped() -> &'static BTreeMap<String, Calendar> {
        static SHIPPED: LazyLock<BTreeMap<String, Calendar>> = LazyLock::new(|| {
            #[expect(
                clippy::expect_used,
                reason = "the file is compiled in and read by a test"
            )]
            toml::from_str(include_str!("../../legal/holidays.toml"))
                .expect("the calendars are valid")
        });
        &SHIPPED
    }

    pub fn find(&self, name: &str) -> Option<&Calendar> {
        self.own.get(name).or_else(|| Self::shipped().get(name))
    }

    /// Returns the names of all calendars in alphabetical order.
    pub fn names(&self) -> BTreeSet<&str> {
        let names = self.own.keys().chain(Self::shipped().keys());
        names.map(String::as_str).collect()
    }
}

/// Returns `day`, or the first day after it that is no Saturday, no Sunday and no known holiday.
///
/// The second value is false if the holidays of one of the days that were looked at are not known.
pub(super) fn working_day(day: Date, calendar: Option<&Calendar>) -> (Date, bool) {
    let (mut day, mut is_certain) = (day, true);
    loop {
        let is_weekend = matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday);
        is_certain &= is_weekend || calendar.is_none_or(|calendar| calendar.knows(day));
        let is_free = is_weekend || calendar.is_some_and(|calendar| calendar.dates.contains(&day));
        match day.tomorrow() {
            Ok(next) if is_free => day = next,
            Ok(_) | Err(_) => return (day, is_certain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_calendar_has_holidays_in_each_of_its_years_and_says_where_they_are_from() {
        for (name, calendar) in Calendars::shipped() {
            assert!(
                !calendar.title.is_empty() && !calendar.source.is_empty(),
                "{name}"
            );
            let years: BTreeSet<i16> = calendar.dates.iter().map(|date| date.year()).collect();
            let (first, last) = (*years.first().unwrap(), *years.last().unwrap());
            assert_eq!(years, (first..=last).collect(), "{name}");
            assert!(calendar.knows(Date::constant(last, 12, 31)), "{name}");
            assert!(!calendar.knows(Date::constant(last + 1, 1, 1)), "{name}");
        }
    }
}
