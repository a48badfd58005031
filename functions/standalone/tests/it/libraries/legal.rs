//! Python's `dateutil` and `holidays` as judges of the legal clock: every day of four years, for every calendar.

use std::process::Command;

use cloud_testkit::python::environment;
use courier_core::legal::{Calendars, Receipt, Regulation};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

use super::{list, tests};

/// Reads the law anew: months by `relativedelta`, holidays by those who keep them for the whole world.
const JUDGE: &str = r#"
import datetime, json, sys
import holidays
from dateutil.relativedelta import relativedelta

years = range(2025, 2030)
known = {
    "de": holidays.country_holidays("DE", years=years),
    "at": holidays.country_holidays("AT", years=years),
    "fr": holidays.country_holidays("FR", years=years),
    "gb-eng": holidays.country_holidays("GB", subdiv="ENG", years=years),
    None: {},
}
periods = {"gdpr": relativedelta(months=1), "uk-gdpr": relativedelta(months=1),
           "ccpa": relativedelta(days=45), "lgpd": relativedelta(days=15)}
answers = []
for regulation, calendar, text in json.load(sys.stdin):
    end = datetime.date.fromisoformat(text) + periods[regulation]
    if regulation in ("gdpr", "uk-gdpr"):
        while end.weekday() >= 5 or end in known[calendar]:
            end += datetime.timedelta(days=1)
    answers.append(end.isoformat())
print(json.dumps(answers))
"#;

#[test]
fn the_due_date_of_every_day_of_four_years_is_the_one_that_dateutil_and_holidays_say() {
    let mut cases = Vec::new();
    let mut ours = Vec::new();
    let clocks = [
        ("gdpr", Some("de"), "Europe/Berlin"),
        ("gdpr", Some("at"), "Europe/Vienna"),
        ("gdpr", Some("fr"), "Europe/Paris"),
        ("gdpr", None, "Europe/Dublin"),
        ("uk-gdpr", Some("gb-eng"), "Europe/London"),
        ("ccpa", None, "America/Los_Angeles"),
        ("lgpd", None, "America/Sao_Paulo"),
    ];
    for (name, calendar, zone) in clocks {
        let zone = TimeZone::get(zone).unwrap();
        // England's calendar ends with 2028.
        let last: Date = "2028-11-25".parse().unwrap();
        let mut day: Date = "2025-01-01".parse().unwrap();
        while day <= last {
            // Every hour of the day comes up, those of the changes of the clocks too.
            let hour = i64::from(day.day_of_year()) % 24;
            let begun = day.to_zoned(zone.clone()).unwrap();
            let received_at: Timestamp = begun.with().hour(hour as i8).build().unwrap().timestamp();
            let receipt = Receipt {
                regulation: Regulation::find(name).unwrap(),
                received_at,
                time_zone: zone.clone(),
                holidays: calendar.map(str::to_owned),
            };
            let clock = receipt.start(&Calendars::default());
            assert!(
                calendar.is_none() || clock.notes.is_empty(),
                "{day}: {:?}",
                clock.notes
            );
            cases.push(json!([name, calendar, day]));
            ours.push(Value::from(clock.due_on.to_string()));
            day = day.saturating_add(1.day());
        }
    }
    let python = environment("calendars", &tests().join("calendars.txt"));
    let mut judge = Command::new(python.join("python3"));
    let theirs = list(judge.args(["-B", "-c", JUDGE]), &Value::from(cases.clone()));
    assert_eq!(theirs.len(), ours.len());
    for ((case, ours), theirs) in cases.iter().zip(&ours).zip(&theirs) {
        assert_eq!(ours, theirs, "{case}");
    }
}
