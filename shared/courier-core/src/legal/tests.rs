//! The vectors of the clock, and the acts that change it.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::*;
use crate::operation::LegalClock;

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn clock(regulation: &str, received_at: &str, zone: &str, holidays: Option<&str>) -> LegalClock {
    let receipt = Receipt {
        regulation: Regulation::find(regulation).unwrap(),
        received_at: time(received_at),
        time_zone: TimeZone::get(zone).unwrap(),
        holidays: holidays.map(str::to_owned),
    };
    receipt.start(&Calendars::default())
}

fn done(act: &Act, clock: &LegalClock, now: &str) -> Result<LegalClock, ActError> {
    let done = act.on(clock, &Calendars::default(), time(now));
    done.map(|(clock, _)| clock)
}

fn extension(told_at: &str, by: Option<Span>) -> Act {
    Act::Extend(Extension {
        reason: "many requests".to_owned(),
        told_at: time(told_at),
        by,
    })
}

fn pause(at: &str) -> Act {
    Act::Pause {
        reason: "who is it?".to_owned(),
        at: time(at),
    }
}

fn resumption(at: &str) -> Act {
    Act::Resume { at: time(at) }
}

#[test]
fn the_answer_is_due_on_the_day_and_at_the_instant_of_each_vector() {
    let mut vectors = 0;
    let lines = include_str!("../../legal/vectors.tsv").lines();
    for line in lines.filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [
            name,
            received,
            zone,
            holidays,
            extended,
            from,
            to,
            due_on,
            due_at,
        ] = fields[..]
        else {
            panic!("{line}");
        };
        let given = |text: &'static str| (text != "-").then_some(text);
        let mut clock = clock(name, received, zone, given(holidays));
        let late = "2040-01-01T00:00:00Z";
        if let Some(count) = given(extended) {
            let count = count.parse().unwrap();
            let by = match clock.regulation.as_str() {
                "ccpa" => Span::Days(count),
                _ => Span::Months(count),
            };
            clock = done(&extension(received, Some(by)), &clock, late).unwrap();
        }
        if let Some(from) = given(from) {
            clock = done(&pause(from), &clock, late).unwrap();
            clock = done(&resumption(to), &clock, late).unwrap();
        }
        assert_eq!(clock.due_on.to_string(), due_on, "{line}");
        assert_eq!(clock.due_at, time(due_at), "{line}");
        vectors += 1;
    }
    assert!(vectors >= 20, "{vectors}");
}

#[test]
fn holidays_that_are_not_known_do_not_move_the_date_and_are_said_to_be_unknown() {
    let notes = |received, holidays| clock("gdpr", received, "Europe/Vienna", holidays).notes;
    let known = notes("2026-03-31T12:00:00Z", Some("at"));
    assert_eq!(known, Vec::<String>::new());
    let unknown = notes("2032-12-06T12:00:00Z", Some("at"));
    assert_eq!(unknown.len(), 1);
    assert!(
        unknown[0].contains("unknown after 2032-12-31"),
        "{unknown:?}"
    );
    assert!(notes("2026-03-31T12:00:00Z", None)[0].contains("only Saturdays and Sundays"));
    let ccpa = clock("ccpa", "2026-03-31T12:00:00Z", "UTC", None);
    assert_eq!(ccpa.notes, Vec::<String>::new());
}

#[test]
fn an_extension_is_given_once_within_its_length_to_a_person_who_was_told_in_the_first_period() {
    let first = clock("gdpr", "2026-01-31T09:12:00+01:00", "Europe/Berlin", None);
    let now = "2026-03-20T12:00:00Z";
    let rule = |told_at, by| match done(&extension(told_at, by), &first, now) {
        Err(ActError::Invalid { field, rule }) => (field, rule),
        other => panic!("{other:?}"),
    };
    // The last moment of the first period counts, also when it is noted later.
    let told = "2026-03-02T23:30:00+01:00";
    let extended = done(&extension(told, None), &first, now).unwrap();
    assert_eq!(extended.due_on.to_string(), "2026-04-30");
    assert_eq!(
        (extended.version, extended.first_due_on),
        (1, first.first_due_on)
    );
    let again = done(&extension(told, None), &extended, now);
    assert_eq!(
        again,
        Err(ActError::Conflict("the clock has been extended already"))
    );
    assert_eq!(rule("2026-03-03T00:30:00+01:00", None).0, "toldAt");
    assert_eq!(rule("2026-01-30T00:30:00+01:00", None).0, "toldAt");
    assert_eq!(rule("2026-03-20T12:00:01Z", None).0, "toldAt");
    assert_eq!(
        rule(told, Some(Span::Months(3))).1,
        "must be a whole number from 1 to 2"
    );
    assert_eq!(rule(told, Some(Span::Months(0))).0, "months");
    assert_eq!(rule(told, Some(Span::Days(3))).1, "must be months for gdpr");
    let lgpd = clock("lgpd", "2026-05-10T12:00:00Z", "UTC", None);
    let refused = done(&extension("2026-05-11T12:00:00Z", None), &lgpd, now);
    assert!(matches!(refused, Err(ActError::Conflict(_))));
}

/// Data Protection Act 2018, section 54(3C)(b)(ii), has the rule in these words: the days of the pause do not count towards the
/// period in which the person must be told either.
#[test]
fn a_person_is_told_of_an_extension_in_time_while_the_clock_is_stopped() {
    let first = clock(
        "uk-gdpr",
        "2026-03-02T10:00:00Z",
        "Europe/London",
        Some("gb-eng"),
    );
    assert_eq!(first.first_due_on.to_string(), "2026-04-02");
    let now = "2026-05-20T12:00:00Z";
    let told = extension("2026-04-20T10:00:00Z", None);
    let late = done(&told, &first, now);
    assert!(matches!(
        late,
        Err(ActError::Invalid {
            field: "toldAt",
            ..
        })
    ));
    let stopped = done(&pause("2026-03-30T10:00:00Z"), &first, now).unwrap();
    let extended = done(&told, &stopped, now).unwrap();
    // The 23 days from 30 March to 21 April are left out.
    let resumed = done(&resumption("2026-04-21T10:00:00Z"), &extended, now).unwrap();
    assert_eq!(resumed.due_on.to_string(), "2026-06-25");
    // It is the same when the answer is noted before the extension is.
    let resumed = done(&resumption("2026-04-21T10:00:00Z"), &stopped, now).unwrap();
    let extended = done(&told, &resumed, now).unwrap();
    assert_eq!(extended.due_on.to_string(), "2026-06-25");
}

#[test]
fn a_pause_needs_a_regulation_that_knows_one_and_a_day_is_left_out_once() {
    let first = clock(
        "uk-gdpr",
        "2026-03-02T10:00:00Z",
        "Europe/London",
        Some("gb-eng"),
    );
    let now = "2026-05-20T12:00:00Z";
    let stopped = done(&pause("2026-03-10T09:00:00Z"), &first, now).unwrap();
    assert_eq!(stopped.risk_days(time(now)), None);
    assert!(matches!(
        done(&pause("2026-03-11T09:00:00Z"), &stopped, now),
        Err(ActError::Conflict(_))
    ));
    let early = done(&resumption("2026-03-09T09:00:00Z"), &stopped, now);
    assert!(matches!(early, Err(ActError::Invalid { field: "at", .. })));
    let resumed = done(&resumption("2026-03-12T09:00:00Z"), &stopped, now).unwrap();
    assert_eq!(
        (resumed.paused_days, resumed.due_on.to_string().as_str()),
        (3, "2026-04-07")
    );
    let overlap = done(&pause("2026-03-11T09:00:00Z"), &resumed, now);
    assert!(matches!(
        overlap,
        Err(ActError::Invalid { field: "at", .. })
    ));
    let again = done(&pause("2026-03-12T15:00:00Z"), &resumed, now).unwrap();
    let again = done(&resumption("2026-03-13T15:00:00Z"), &again, now).unwrap();
    assert_eq!(again.paused_days, 4);
    assert!(matches!(
        done(&resumption(now), &again, now),
        Err(ActError::Conflict(_))
    ));

    let gdpr = clock("gdpr", "2026-03-02T10:00:00Z", "Europe/Berlin", Some("de"));
    let gdpr = done(&pause("2026-03-10T09:00:00Z"), &gdpr, now).unwrap();
    assert!(
        gdpr.notes[0].contains("itself has no pause"),
        "{:?}",
        gdpr.notes
    );
    let ccpa = clock("ccpa", "2026-03-02T10:00:00Z", "UTC", None);
    let refused = done(&pause("2026-03-10T09:00:00Z"), &ccpa, now);
    assert!(matches!(refused, Err(ActError::Conflict(_))));
}
