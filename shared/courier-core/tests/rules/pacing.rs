//! Tests the pauses before the next poll, start and callback: their bounds and their jitter.

use std::time::Duration;

use courier_core::lifecycle::schedule::{
    CALLBACK_PAUSES, CALLBACK_WINDOW, LONGEST_PAST_DEADLINE, ask_again, longest_poll_pause,
    missing_again, next_poll_at, start_again, sweep_after, throttled, turn,
};
use courier_core::operation::{OperationId, Record};
use courier_core::time::{elapsed, later};
use jiff::Timestamp;

use crate::{
    DEADLINE, EXPORT, GOALS, SCHEDULE, accepted, at, forecast, next_callback, operation, running,
    seconds,
};

/// Returns the seconds from `now` until `time`.
fn pause(now: Timestamp, time: Timestamp) -> f64 {
    time.duration_since(now).as_secs_f64()
}

/// Asserts that `time` is at least `shortest` seconds after `now`, and at most `jitter` seconds later than that.
fn within(now: Timestamp, time: Timestamp, shortest: f64, jitter: f64) {
    let pause = pause(now, time);
    let longest = shortest + jitter + 0.001;
    assert!(
        (shortest..=longest).contains(&pause),
        "{pause} is not in {shortest}..={longest}"
    );
}

#[test]
fn callback_window_is_the_sum_of_the_pauses() {
    assert_eq!(CALLBACK_PAUSES.iter().sum::<Duration>(), CALLBACK_WINDOW);
    assert_eq!(CALLBACK_WINDOW.as_secs(), (75 * 60 + 35) * 60 + 5);
    assert!(CALLBACK_PAUSES.is_sorted());
}

#[test]
fn next_poll_is_after_a_tenth_of_the_age_or_after_retry_after() {
    // Each row is the age, the Retry-After and the pause before jitter, in seconds. The catalogue has an export polled
    // after one minute at first and after six hours at most.
    for (age, retry_after, shortest) in [
        (0, None, 60),
        (600, None, 60),
        (610, None, 61),
        (6000, None, 600),
        (0, Some(10), 10),
        (90, Some(10), 10),
        (200, Some(10), 20),
        (6000, Some(900), 900),
        (6000, Some(30), 600),
        (0, Some(0), 1),
        (300_000, None, 21_600),
        (300_000, Some(99_999), 99_999),
        (0, Some(9 * 86_400), 9 * 86_400),
    ] {
        let mut record = running(EXPORT);
        record.deadline = at(30 * 86_400);
        let now = at(10 + age);
        let row = &operation(EXPORT).poll;
        let next = next_poll_at(&record, row, retry_after.map(seconds), now);
        let own = (age / 10).clamp(60, 21_600);
        let jitter = match retry_after {
            Some(longer) if longer > own => own as f64,
            _ => (shortest as f64 / 10.0).min(60.0),
        };
        within(now, next, shortest as f64, jitter);
    }
}

#[test]
fn a_forecast_paces_looks_between_the_catalogues_first_and_longest_pause_and_retry_after() {
    let mut record = running(EXPORT);
    // Most of such jobs took between one and two hours, none less than 48 min or more than 1 h 55 min.
    record.forecast = Some(forecast());
    record.deadline = at(100 * 86_400);
    let row = &operation(EXPORT).poll;
    // Each row is the age, the Retry-After, and the bounds of the pause with its jitter, in seconds.
    for (age, retry_after, least, most) in [
        (0, None, 100.0, 143.0),
        (0, Some(10), 100.0, 143.0),
        (0, Some(300), 300.0, 430.0),
        (600, None, 300.0, 330.001),
        (2000, None, 900.0, 1060.001),
        (4200, None, 60.0, 275.0),
        (4200, Some(600), 600.0, 850.0),
        (6000, None, 60.0, 400.0),
        (7000, None, 700.0, 760.001),
        (60_000, None, 6000.0, 6060.001),
        (600_000, None, 21_600.0, 21_660.001),
    ] {
        let now = at(10 + age);
        let pause = pause(
            now,
            next_poll_at(&record, row, retry_after.map(seconds), now),
        );
        assert!(
            (least..=most).contains(&pause),
            "{age} {retry_after:?}: {pause}"
        );
    }
    // One that cannot be read is none.
    record.forecast.as_mut().unwrap().shares = "?".to_owned();
    within(
        at(6010),
        next_poll_at(&record, row, None, at(6010)),
        600.0,
        60.0,
    );
}

#[test]
fn the_longest_pause_is_that_of_the_retry_after_of_the_last_write() {
    let mut record = running(EXPORT);
    let row = &operation(EXPORT).poll;
    for (retry_after, longest) in [(None, 66), (Some(10), 11), (Some(0), 2), (Some(900), 66)] {
        record.graph.retry_after = retry_after;
        let pause = longest_poll_pause(&record, row, at(10));
        let most = seconds(longest);
        assert!(
            pause <= most && pause >= most / 2,
            "{retry_after:?}: {pause:?}"
        );
    }
}

#[test]
fn the_jitter_of_polls_is_the_same_at_each_time_and_differs_between_operations() {
    let row = &operation(EXPORT).poll;
    let later_by = |record: &Record, now: Timestamp| {
        let mut record = record.clone();
        record.started_at = Some(now);
        record.deadline = now + seconds(30 * 86_400);
        record.graph.unanswered = 3;
        record.graph.missing = 3;
        [
            next_poll_at(&record, row, None, now),
            next_poll_at(&record, row, Some(seconds(600)), now),
            ask_again(&record, row, None, None, now),
            missing_again(&record, seconds(600), None, now),
            throttled(&record, row, None, now),
            turn(&record, Some(seconds(60)), now),
        ]
        .map(|next| elapsed(now, next))
    };
    let mut record = running(EXPORT);
    let always = later_by(&record, at(10));
    for millis in 0..50 {
        let now = at(20) + Duration::from_millis(millis * 977);
        assert_eq!(later_by(&record, now), always);
    }
    record.id = OperationId::from_key("tickets", "another");
    let others = later_by(&record, at(10));
    assert!(always.iter().zip(&others).all(|(one, other)| one != other));
}

#[test]
fn retry_after_may_exceed_the_catalogues_longest_pause() {
    let mut record = running(SCHEDULE);
    record.deadline = at(DEADLINE * 100);
    let row = &operation(SCHEDULE).poll;
    let next = |age: u64, retry_after: Option<u64>| {
        next_poll_at(&record, row, retry_after.map(seconds), at(10 + age))
    };
    within(at(5010), next(5000, None), 60.0, 6.0);
    within(at(5010), next(5000, Some(600)), 600.0, 60.0);
    within(at(5010), next(5000, Some(5000)), 5000.0, 60.0);
}

#[test]
fn age_counts_from_the_creation_until_the_operation_has_started() {
    let mut record = accepted(EXPORT, at(0));
    record.deadline = at(DEADLINE * 100);
    let next = next_poll_at(&record, &operation(EXPORT).poll, None, at(6000));
    within(at(6000), next, 600.0, 60.0);
}

#[test]
fn last_poll_is_at_the_deadline_or_as_soon_as_graph_allows() {
    let record = running(EXPORT);
    let row = &operation(EXPORT).poll;
    let before = |left: Duration| at(DEADLINE) - left;
    // Each row is the seconds left until the deadline, the Retry-After, and how many seconds after it the poll is.
    for (left, retry_after, poll) in [
        (1000, None, 0),
        (1, None, 0),
        (0, None, 1),
        (100, Some(98), 0),
        (100, Some(101), 1),
        (4, Some(60), 56),
    ] {
        let next = next_poll_at(
            &record,
            row,
            retry_after.map(seconds),
            before(seconds(left)),
        );
        assert_eq!(next, at(DEADLINE + poll), "{left} {retry_after:?}");
    }
    // A poll that is due before the last one is not moved.
    let early = next_poll_at(&record, row, Some(seconds(10)), before(seconds(20_000)));
    assert!(early < at(DEADLINE));
    // The pause is at least one second, even if the deadline is nearer than that.
    let near = before(Duration::from_millis(200));
    assert_eq!(next_poll_at(&record, row, None, near), near + seconds(1));
}

#[test]
fn no_retry_after_puts_off_the_last_poll_by_more_than_six_hours_past_the_deadline() {
    let (day, ten_years) = (86_400, 10 * 365 * 86_400);
    for name in [EXPORT, GOALS, SCHEDULE] {
        let mut record = running(name);
        record.graph.missing = 1;
        let row = &operation(name).poll;
        for longest in [Duration::MAX, seconds(ten_years), seconds(day)] {
            for now in [DEADLINE - 10, DEADLINE, DEADLINE + 60] {
                let (now, longest) = (at(now), Some(longest));
                for next in [
                    next_poll_at(&record, row, longest, now),
                    ask_again(&record, row, longest, None, now),
                    missing_again(&record, seconds(600), longest, now),
                ] {
                    assert_eq!(next, at(DEADLINE) + LONGEST_PAST_DEADLINE, "{name}");
                }
            }
        }
        // What Graph allows in time is honoured to the second.
        record.deadline = at(30 * day);
        let next = next_poll_at(&record, row, Some(seconds(9 * day)), at(10));
        assert!(next >= at(10 + 9 * day), "{name}");
    }
}

#[test]
fn sweeper_waits_for_the_operations_age_after_a_poll_up_to_four_hours() {
    let record = running(EXPORT);
    for (age, grace) in [
        (0, 0),
        (90, 90),
        (14_399, 14_399),
        (14_400, 14_400),
        (99_999, 14_400),
    ] {
        let next_poll = at(200_000);
        let until = sweep_after(&record, next_poll, at(10 + age));
        assert_eq!(until, next_poll + seconds(grace), "{age}");
    }
    let young = accepted(EXPORT, at(0));
    assert_eq!(sweep_after(&young, at(500), at(50)), at(550));
}

#[test]
fn start_is_repeated_after_three_seconds_times_the_attempt_squared() {
    for (attempt, shortest) in [
        (0, 3.0),
        (1, 3.0),
        (2, 12.0),
        (3, 27.0),
        (7, 147.0),
        (8, 180.0),
        (20, 180.0),
        (21, 900.0),
        (1000, 900.0),
    ] {
        let mut record = accepted(EXPORT, at(0));
        record.attempt = attempt;
        let jitter = shortest * 0.2;
        within(at(50), start_again(&record, None, at(50)), shortest, jitter);
        let longer = start_again(&record, Some(seconds(2000)), at(50));
        assert_eq!(longer, at(2050));
        record.deadline = at(52);
        assert_eq!(start_again(&record, None, at(50)), at(52));
        assert_eq!(start_again(&record, None, at(60)), at(60));
    }
}

#[test]
fn callback_is_repeated_on_the_schedule_of_standard_webhooks() {
    let record = running(EXPORT);
    for (index, pause) in CALLBACK_PAUSES.iter().enumerate() {
        let attempts = u32::try_from(index).unwrap() + 1;
        let next = next_callback(&record, at(0), attempts, None, at(100)).unwrap();
        let seconds = pause.as_secs_f64();
        within(at(100), next, seconds * 0.8, seconds * 0.4);
    }
    let last = CALLBACK_PAUSES[8].as_secs_f64();
    for attempts in [10, 1000] {
        let next = next_callback(&record, at(0), attempts, None, at(100)).unwrap();
        within(at(100), next, last * 0.8, last * 0.4);
    }
    let longer = next_callback(&record, at(0), 1, Some(seconds(9000)), at(100));
    assert_eq!(longer, Some(at(9100)));
    let shorter = next_callback(&record, at(0), 9, Some(seconds(9000)), at(100)).unwrap();
    within(at(100), shorter, last * 0.8, last * 0.4);
}

#[test]
fn last_callback_falls_on_the_end_of_the_window() {
    let record = running(EXPORT);
    let window = CALLBACK_WINDOW.as_secs();
    let next = |now| next_callback(&record, at(100), 9, None, at(100 + now));
    assert_eq!(next(window - 1), Some(at(100 + window)));
    assert_eq!(next(window), None);
    assert_eq!(next(window + 1), None);
    let capped = next_callback(&record, at(100), 1, Some(seconds(window * 2)), at(100));
    assert_eq!(capped, Some(at(100 + window)));
}

/// Returns where in the jitter of a callback's last pause a record falls, from 0 to 1.
fn jitter(record: &Record, now: Timestamp) -> f64 {
    let next = next_callback(record, now, 9, None, now).unwrap();
    (pause(now, next) / 86_400.0 - 0.8) / 0.4
}

#[test]
fn jitter_spreads_operations_and_attempts_evenly() {
    let named = |number: u64| {
        let mut record = running(EXPORT);
        record.id = OperationId::from_key("tickets", &number.to_string());
        jitter(&record, at(0))
    };
    let later = |number: u64| jitter(&running(EXPORT), at(0) + Duration::from_millis(number));
    let apart = |number: u64| jitter(&running(EXPORT), at(60 * number));
    assert_evenly_spread((0..2000).map(named).collect());
    assert_evenly_spread((0..2000).map(later).collect());
    assert_evenly_spread((0..2000).map(apart).collect());
}

/// Asserts that each tenth of the range contains about its share of `places`.
fn assert_evenly_spread(places: Vec<f64>) {
    let mut tenths = [0; 10];
    for place in places {
        assert!((0.0..1.001).contains(&place), "{place}");
        tenths[((place * 10.0) as usize).min(9)] += 1;
    }
    for share in tenths {
        assert!((130..=270).contains(&share), "{tenths:?}");
    }
}

#[test]
fn times_are_rounded_up_to_the_millisecond_and_do_not_overflow() {
    let nanosecond = Duration::from_nanos(1);
    let millisecond = Duration::from_millis(1);
    assert_eq!(later(at(5), Duration::ZERO), at(5));
    assert_eq!(later(at(5), nanosecond), at(5) + millisecond);
    assert_eq!(later(at(5), millisecond), at(5) + millisecond);
    assert_eq!(
        later(at(5), millisecond + nanosecond),
        at(5) + 2 * millisecond
    );
    assert_eq!(later(at(5), Duration::MAX), Timestamp::MAX);
    assert_eq!(elapsed(at(5), at(8)), seconds(3));
    assert_eq!(elapsed(at(8), at(5)), Duration::ZERO);
}
