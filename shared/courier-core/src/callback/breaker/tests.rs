//! Tests for how long a receiver is left alone, and how many deliveries it gets at once.

use super::*;

const DOWN: Health = Health::Down { retry_after: None };

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn id(number: usize) -> OperationId {
    OperationId::parse(&format!("op_{number:032x}")).unwrap()
}

pub(super) fn acquire_as(
    breakers: &CircuitBreakers,
    number: usize,
    now: Timestamp,
) -> Result<Permit, Timestamp> {
    breakers.acquire("tickets", "https://tickets.example", &id(number), now)
}

fn acquire(breakers: &CircuitBreakers, second: i64) -> Result<Permit, Timestamp> {
    acquire_as(breakers, 0, at(second))
}

fn deliver(breakers: &CircuitBreakers, second: i64, health: Health) -> Change {
    let Ok(permit) = acquire(breakers, second) else {
        panic!("held at {second}");
    };
    permit.report(health, at(second))
}

fn is_paused(change: Change) -> bool {
    matches!(change, Change::Paused(_))
}

fn held_until(breakers: &CircuitBreakers, second: i64) -> i64 {
    match acquire(breakers, second) {
        Ok(_) => panic!("not held at {second}"),
        Err(until) => until.as_second() - 1_000_000,
    }
}

fn down(breakers: &CircuitBreakers) {
    for _ in 0..FAILURE_THRESHOLD {
        deliver(breakers, 0, DOWN);
    }
}

#[test]
fn only_a_missing_answer_429_and_5xx_count_as_down() {
    let retry_after = Some(Duration::from_secs(90));
    for status in [300, 302, 400, 401, 403, 404, 405, 410, 428, 430, 499] {
        assert_eq!(
            Health::of(Some(status), retry_after),
            Health::Up,
            "{status}"
        );
    }
    for status in [500, 502, 504, 599] {
        assert_eq!(Health::of(Some(status), retry_after), DOWN, "{status}");
    }
    assert_eq!(Health::of(None, None), DOWN);
    for status in [429, 503] {
        let pause = Health::Down { retry_after };
        assert_eq!(Health::of(Some(status), retry_after), pause, "{status}");
    }
}

#[test]
fn five_consecutive_failures_pause_the_receiver_for_thirty_seconds() {
    let breakers = CircuitBreakers::new(10);
    for _ in 0..4 {
        assert_eq!(deliver(&breakers, 0, DOWN), Change::Nothing);
    }
    assert_eq!(deliver(&breakers, 0, Health::Up), Change::Recovered);
    for _ in 0..4 {
        assert_eq!(deliver(&breakers, 0, DOWN), Change::Nothing);
    }
    assert_eq!(deliver(&breakers, 0, DOWN), Change::Paused(at(30)));
    assert_eq!(held_until(&breakers, 0), 30);
    assert_eq!(held_until(&breakers, 29), 30);
    assert!(acquire(&breakers, 30).is_ok());
}

#[test]
fn failures_a_minute_apart_are_not_consecutive() {
    let breakers = CircuitBreakers::new(10);
    for minute in 0..20 {
        assert_eq!(deliver(&breakers, 60 * minute, DOWN), Change::Nothing);
    }
}

#[test]
fn a_successful_probe_closes_the_breaker() {
    let breakers = CircuitBreakers::new(10);
    down(&breakers);
    let probe = acquire(&breakers, 31).ok().unwrap();
    assert!(acquire_as(&breakers, 1, at(31)).is_err());
    assert_eq!(probe.report(Health::Up, at(32)), Change::Recovered);
    let permits: Vec<Permit> = (1..11)
        .filter_map(|number| acquire_as(&breakers, number, at(33)).ok())
        .collect();
    assert_eq!(permits.len(), 10);
}

#[test]
fn each_failed_probe_doubles_the_pause_up_to_five_minutes() {
    let breakers = CircuitBreakers::new(10);
    down(&breakers);
    let mut now = 30;
    for pause in [60, 120, 240, 300, 300, 300] {
        assert!(is_paused(deliver(&breakers, now, DOWN)));
        assert_eq!(held_until(&breakers, now), now + pause);
        now += pause;
    }
    assert_eq!(deliver(&breakers, now, Health::Up), Change::Recovered);
    down(&breakers);
    assert_eq!(held_until(&breakers, 0), 30);
}

#[test]
fn retry_after_pauses_at_once_for_exactly_that_long_within_the_delivery_window() {
    let window = i64::try_from(DELIVERY_WINDOW.as_secs()).unwrap();
    for (retry_after, pause) in [(1, 1), (90, 90), (7200, 7200), (1_000_000, window)] {
        let breakers = CircuitBreakers::new(10);
        let retry_after = Some(Duration::from_secs(retry_after));
        let asked = deliver(&breakers, 0, Health::Down { retry_after });
        assert_eq!(asked, Change::Paused(at(pause)));
        assert_eq!(held_until(&breakers, 0), pause);
        assert_eq!(held_until(&breakers, pause - 1), pause);
        assert!(acquire(&breakers, pause).is_ok());
    }
}

#[test]
fn retry_after_of_a_second_never_causes_a_longer_pause() {
    let breakers = CircuitBreakers::new(10);
    let retry_after = Some(Duration::from_secs(1));
    for second in 0..50 {
        let asked = deliver(&breakers, second, Health::Down { retry_after });
        assert_eq!(asked, Change::Paused(at(second + 1)));
    }
    assert_eq!(deliver(&breakers, 50, DOWN), Change::Nothing);
}

#[test]
fn success_of_a_delivery_that_was_under_way_does_not_end_the_pause_that_was_asked_for() {
    let breakers = CircuitBreakers::new(10);
    let earlier = acquire_as(&breakers, 1, at(0)).ok().unwrap();
    let retry_after = Some(Duration::from_secs(600));
    deliver(&breakers, 1, Health::Down { retry_after });
    assert_eq!(earlier.report(Health::Up, at(2)), Change::Nothing);
    assert_eq!(held_until(&breakers, 2), 601);
    assert_eq!(deliver(&breakers, 601, Health::Up), Change::Recovered);
}

#[test]
fn deliveries_that_fail_together_cause_one_pause() {
    let breakers = CircuitBreakers::new(10);
    let permits: Vec<Permit> = (0..10).filter_map(|_| acquire(&breakers, 0).ok()).collect();
    for permit in permits {
        permit.report(DOWN, at(1));
    }
    assert_eq!(held_until(&breakers, 1), 31);
    deliver(&breakers, 31, DOWN);
    assert_eq!(held_until(&breakers, 31), 31 + 60);
}

#[test]
fn deliveries_in_flight_are_limited_for_each_receiver_of_each_client() {
    let breakers = CircuitBreakers::new(2);
    let first = acquire_as(&breakers, 1, at(0)).ok().unwrap();
    let _second = acquire_as(&breakers, 2, at(0)).ok().unwrap();
    let turn = acquire_as(&breakers, 3, at(0)).err().unwrap();
    assert!(at(0) < turn && turn <= at(2), "{turn}");
    let elsewhere = breakers.acquire("tickets", "https://other.example", &id(4), at(0));
    let another = breakers.acquire("hr", "https://tickets.example", &id(5), at(0));
    assert!(elsewhere.is_ok() && another.is_ok());
    drop(first);
    assert!(acquire_as(&breakers, 3, turn).is_ok());
}

#[test]
fn breaker_of_one_client_does_not_hold_another_client_at_the_same_host() {
    let breakers = CircuitBreakers::new(10);
    down(&breakers);
    assert!(
        breakers
            .acquire("hr", "https://tickets.example", &id(1), at(0))
            .is_ok()
    );
}

#[test]
fn cancelled_or_lost_probe_is_followed_by_another() {
    let breakers = CircuitBreakers::new(10);
    down(&breakers);
    drop(acquire(&breakers, 30));
    std::mem::forget(acquire(&breakers, 30));
    assert!(acquire_as(&breakers, 1, at(31)).is_err());
    assert!(acquire_as(&breakers, 1, at(59)).is_err());
    assert!(acquire_as(&breakers, 1, at(60)).is_ok());
}

#[test]
fn clock_set_back_ends_the_pause_with_a_probe() {
    let breakers = CircuitBreakers::new(10);
    down(&breakers);
    assert_eq!(deliver(&breakers, -7200, Health::Up), Change::Recovered);
    assert!(acquire(&breakers, -7200).is_ok());
}

#[test]
fn clock_set_back_ends_the_wait_for_a_lost_probe_and_for_a_turn() {
    let breakers = CircuitBreakers::new(2);
    down(&breakers);
    std::mem::forget(acquire(&breakers, 30));
    assert!(acquire_as(&breakers, 1, at(31)).is_err());
    let probe = acquire_as(&breakers, 1, at(-7200)).ok().unwrap();
    probe.report(Health::Up, at(-7199));
    let _other = acquire_as(&breakers, 2, at(-7199)).ok().unwrap();
    let turn = acquire_as(&breakers, 3, at(-7198)).err().unwrap();
    assert!(turn <= at(-7190), "{turn}");
}
