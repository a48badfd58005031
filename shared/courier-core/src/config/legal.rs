//! Reads the public holidays of the configuration, which move the due dates of legal clocks.

use std::collections::BTreeSet;

use jiff::civil::Date;

use super::findings::did_you_mean;
use crate::config::reader::Reader;
use crate::legal::{Calendar, Calendars};

/// Most days of one calendar.
const MOST_DATES: usize = 2_000;

pub(super) fn legal(table: &mut Reader<'_>) -> Calendars {
    let own = table.tables("holidays", |_, table| Some(calendar(table)));
    let calendars = Calendars {
        own,
        default: table.optional_text("default_holidays"),
    };
    if let Some(name) = &calendars.default
        && calendars.find(name).is_none()
    {
        let names = calendars.names();
        let hint = did_you_mean(name, names.iter().copied());
        let known: Vec<&str> = names.into_iter().collect();
        let rule = format!(
            "there are no holidays {name}{hint}: known are {}",
            known.join(", ")
        );
        table.error("default_holidays", &rule);
    }
    calendars
}

fn calendar(table: &mut Reader<'_>) -> Calendar {
    let dates = table.texts("dates", |text| {
        let date = (text.len() == 10).then(|| text.parse::<Date>().ok());
        date.flatten()
            .ok_or_else(|| "must be a date such as 2026-12-25".to_owned())
    });
    table.require_items("dates", "at least one date is needed");
    if dates.len() > MOST_DATES {
        table.error("dates", "must be at most 2000 dates");
    }
    let dates: BTreeSet<Date> = dates.into_iter().collect();
    let years = dates.first().zip(dates.last());
    if let Some((first, last)) = years {
        let has = |year: &i16| dates.iter().any(|date| date.year() == *year);
        let gap = (first.year()..=last.year()).find(|year| !has(year));
        if let Some(year) = gap {
            let rule = format!("has no date in {year}, so that year would have no holidays");
            table.error("dates", &rule);
        }
    }
    Calendar {
        title: String::new(),
        source: String::new(),
        dates,
    }
}
