//! What each alarm of the template would see: its rule is evaluated on the data points of a story, minute by minute.

use std::collections::BTreeSet;

use courier_core::engine::metrics::Counts;
use serde_json::Value;

use super::alarms::{alarms, emitted, everything, periods};

/// The value of a metric in each minute of a story that has one.
type Story = Vec<(u64, f64)>;

const HOURS: u64 = 8 * 60;

/// Whether one period breaches; `None` if it has no data.
fn breaches(alarm: &Value, points: &[f64]) -> Option<bool> {
    let first = points.first()?;
    let value = match alarm["Statistic"].as_str().unwrap() {
        "Sum" => points.iter().sum(),
        "Minimum" => points.iter().copied().fold(*first, f64::min),
        "Maximum" => points.iter().copied().fold(*first, f64::max),
        other => panic!("{other}"),
    };
    let threshold = alarm["Threshold"].as_f64().unwrap();
    Some(match alarm["ComparisonOperator"].as_str().unwrap() {
        "GreaterThanThreshold" => value > threshold,
        "LessThanThreshold" => value < threshold,
        other => panic!("{other}"),
    })
}

/// Whether the alarm rings at this minute, by what came before.
fn rings_at(alarm: &Value, story: &Story, minute: u64) -> bool {
    let period = alarm["Period"].as_u64().unwrap() / 60;
    let (needed, all) = periods(alarm);
    let if_missing = alarm["TreatMissingData"] == "breaching";
    let breaching = (0..all).filter(|index| {
        let end = minute.saturating_sub(index * period);
        let start = end.saturating_sub(period);
        let points = story.iter().filter(|(at, _)| (start..end).contains(at));
        let points: Vec<f64> = points.map(|(_, value)| *value).collect();
        breaches(alarm, &points).unwrap_or(if_missing)
    });
    breaching.count() as u64 >= needed
}

/// The first minute at which the alarm rings once the story has gone on for an hour.
fn rings(name: &str, story: &Story) -> Option<u64> {
    let alarm = alarms()[name];
    (60..HOURS).find(|minute| rings_at(alarm, story, *minute))
}

/// A value for every minute.
fn each_minute(value: impl Fn(u64) -> f64) -> Story {
    (0..HOURS).map(|minute| (minute, value(minute))).collect()
}

#[test]
fn a_dead_mapping_is_noticed_a_quarter_of_an_hour_after_the_first_message_is_due() {
    // One operation waits, hidden, and becomes due at minute 200.
    let dead = each_minute(|minute| f64::from(u8::from(minute >= 200)));
    assert_eq!(rings("QueueStuck", &dead), Some(215));
    // Received at once, each time.
    let quiet = each_minute(|_| 0.0);
    assert_eq!(rings("QueueStuck", &quiet), None);
    let busy = each_minute(|minute| [7.0, 0.0, 31.0, 2.0, 5.0][(minute % 5) as usize]);
    assert_eq!(rings("QueueStuck", &busy), None);
}

#[test]
fn a_burst_rings_when_the_functions_do_not_work_it_off_in_a_quarter_of_an_hour() {
    let burst = |minutes: u64| {
        each_minute(move |minute| {
            if (100..100 + minutes).contains(&minute) {
                500.0
            } else {
                0.0
            }
        })
    };
    assert_eq!(rings("QueueStuck", &burst(14)), None);
    assert_eq!(rings("QueueStuck", &burst(15)), Some(115));
}

#[test]
fn the_limit_of_waiting_messages_is_noticed_before_it_is_reached() {
    let waiting = |count: f64| each_minute(move |minute| if minute < 100 { 0.0 } else { count });
    assert_eq!(rings("InFlight", &waiting(90_000.0)), None);
    assert_eq!(rings("InFlight", &waiting(90_001.0)), Some(101));
    assert_eq!(rings("QueueStuck", &each_minute(|_| 0.0)), None);
}

#[test]
fn a_dead_sweeper_is_noticed_after_half_an_hour_and_a_late_one_is_not() {
    let sweeps = |until: u64, from: u64| -> Story {
        let minutes = (0..HOURS).filter(|minute| minute % 5 == 0);
        let minutes = minutes.filter(|minute| *minute < until || *minute >= from);
        minutes.map(|minute| (minute, 1.0)).collect()
    };
    assert_eq!(rings("SweeperSilent", &sweeps(HOURS, 0)), None);
    assert_eq!(rings("SweeperSilent", &sweeps(200, 220)), None);
    // The last one was at minute 195.
    assert_eq!(rings("SweeperSilent", &sweeps(200, HOURS)), Some(226));
    // A schedule that never ran has no data at all.
    assert_eq!(rings("SweeperSilent", &Story::new()), Some(60));
}

/// An alarm that counts what must not be rings at the first, and is silent while nothing happens.
#[test]
fn a_single_event_rings_and_no_event_does_not() {
    for name in [
        "AcceptErrors",
        "AuthorizationLost",
        "DeadLetter",
        "EventsRefused",
        "IntakeDeadLetter",
        "Orphaned",
        "Overdue",
        "PollErrors",
        "Recursion",
        "StartErrors",
        "StartUnknown",
        "Stumbled",
        "SweepErrors",
        "Unannounced",
        "Undeliverable",
        "Unusable",
    ] {
        assert_eq!(rings(name, &vec![(100, 1.0)]), Some(101), "{name}");
        assert_eq!(rings(name, &Story::new()), None, "{name}");
        assert_eq!(rings(name, &each_minute(|_| 0.0)), None, "{name}");
    }
}

#[test]
fn a_moment_of_5xx_or_throttles_is_forgiven_and_a_second_one_soon_after_is_not() {
    for name in [
        "ApiError",
        "PollThrottles",
        "StartThrottles",
        "SweepThrottles",
    ] {
        assert_eq!(rings(name, &vec![(100, 9.0)]), None, "{name}");
        assert_eq!(
            rings(name, &vec![(100, 1.0), (106, 1.0)]),
            Some(107),
            "{name}"
        );
        assert_eq!(rings(name, &vec![(100, 1.0), (120, 1.0)]), None, "{name}");
    }
}

/// These come back as long as the trouble lasts, so the alarm ends only with it.
#[test]
fn an_alarm_about_what_waits_does_not_end_before_the_wait() {
    for (name, every) in [
        ("AuthorizationLost", 18),
        ("Orphaned", 65),
        ("Unusable", 65),
    ] {
        let story: Story = (0..4).map(|index| (100 + index * every, 1.0)).collect();
        let last = 100 + 3 * every;
        let alarm = alarms()[name];
        assert!(
            (101..=last).all(|minute| rings_at(alarm, &story, minute)),
            "{name}"
        );
        assert!(!rings_at(alarm, &story, last + 121), "{name}");
    }
}

/// The data points are those that the program writes when it counts one such event.
#[test]
fn each_count_of_the_program_raises_its_own_alarm_and_no_other() {
    let ringing = |counts: &Counts| -> BTreeSet<&str> {
        let emitted = emitted(counts);
        let own = alarms()
            .into_iter()
            .filter(|(_, alarm)| alarm["Namespace"] == "GraphCourier");
        let ringing = own.filter(|(name, alarm)| {
            let dimensions = alarm["Dimensions"].as_array().unwrap();
            let points = emitted.iter().filter(|((metric, whose), _)| {
                let is_named = |(name, value): &(String, String)| {
                    let found = dimensions.iter().find(|one| one["Name"] == name.as_str());
                    found.is_some_and(|one| super::transformed::short(&one["Value"]) == *value)
                };
                let wanted = format!("GraphCourier {}", alarm["MetricName"].as_str().unwrap());
                *metric == wanted && whose.len() == dimensions.len() && whose.iter().all(is_named)
            });
            let story: Story = points.map(|(_, value)| (100, *value)).collect();
            rings(name, &story).is_some()
        });
        ringing.map(|(name, _)| name).collect()
    };
    let none = Counts::default;
    for (counts, name) in [
        (
            Counts {
                authorization_lost: 1,
                ..none()
            },
            "AuthorizationLost",
        ),
        (
            Counts {
                callbacks: [("orphaned", 1)].into(),
                ..none()
            },
            "Orphaned",
        ),
        (
            Counts {
                events: [("undeliverable", 1)].into(),
                ..none()
            },
            "Unannounced",
        ),
        (
            Counts {
                overdue: 1,
                ..none()
            },
            "Overdue",
        ),
        (
            Counts {
                start_unknown: 1,
                ..none()
            },
            "StartUnknown",
        ),
        (
            Counts {
                step_crashes: 1,
                ..none()
            },
            "Stumbled",
        ),
        (
            Counts {
                undeliverable: 1,
                ..none()
            },
            "Undeliverable",
        ),
        (
            Counts {
                unusable: 1,
                ..none()
            },
            "Unusable",
        ),
        (
            Counts {
                events_refused: 1,
                ..none()
            },
            "EventsRefused",
        ),
    ] {
        assert_eq!(ringing(&counts), BTreeSet::from([name]));
    }
    assert_eq!(ringing(&everything()).len(), 9);
    let ordinary = Counts {
        started: 3,
        polls: 100,
        throttled: 2,
        callbacks: [
            ("delivered", 3),
            ("refused", 2),
            ("unanswered", 1),
            ("parked", 4),
        ]
        .into(),
        ended: [("succeeded", 2), ("failed", 1)].into(),
        events: [("sent", 9), ("failed", 1), ("dropped", 2)].into(),
        ..none()
    };
    assert_eq!(ringing(&ordinary), BTreeSet::new());
}
