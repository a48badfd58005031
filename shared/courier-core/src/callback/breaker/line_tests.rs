//! Tests the order in which waiting deliveries are let in, and how often each of them looks whether its turn has come.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::tests::{acquire_as, at};
use super::*;

/// Deliveries to one receiver, worked off by one process: each looks when it was told to.
struct Crowd {
    breakers: CircuitBreakers,
    /// What happens when, the earliest first: the milliseconds, and the number of the delivery that looks or ends.
    agenda: BinaryHeap<Reverse<(i64, usize)>>,
    under_way: HashMap<usize, Permit>,
    looks: Vec<usize>,
    /// The deliveries in the order in which they were let in, each with the time of its start in milliseconds.
    started: Vec<(usize, i64)>,
}

impl Crowd {
    fn new(places: u32) -> Self {
        Self {
            breakers: CircuitBreakers::new(places),
            agenda: BinaryHeap::new(),
            under_way: HashMap::new(),
            looks: Vec::new(),
            started: Vec::new(),
        }
    }

    fn joins(&mut self, millisecond: i64) {
        self.agenda.push(Reverse((millisecond, self.looks.len())));
        self.looks.push(0);
    }

    /// Works off all deliveries, each of which takes as many milliseconds as `takes` says, and returns the last end.
    fn work(&mut self, takes: impl Fn(usize) -> i64) -> i64 {
        let mut last = 0;
        while let Some(Reverse((millisecond, number))) = self.agenda.pop() {
            last = millisecond;
            let now = Timestamp::from_millisecond(1_000_000_000 + millisecond).unwrap();
            if let Some(permit) = self.under_way.remove(&number) {
                permit.report(Health::Up, now);
                continue;
            }
            self.looks[number] += 1;
            let next = match acquire_as(&self.breakers, number, now) {
                Ok(permit) => {
                    self.under_way.insert(number, permit);
                    self.started.push((number, millisecond));
                    millisecond + takes(number)
                }
                Err(turn) => turn.as_millisecond() - 1_000_000_000,
            };
            self.agenda.push(Reverse((next, number)));
        }
        last
    }

    fn median_of_looks(&self) -> usize {
        let mut looks = self.looks.clone();
        looks.sort_unstable();
        looks[looks.len() / 2]
    }
}

/// Returns the numbers of the deliveries that were not let in in the order in which they came.
fn out_of_order(crowd: &Crowd) -> Vec<usize> {
    let places = crowd.started.iter().enumerate();
    let late = places.filter(|(place, (number, _))| place != number);
    late.map(|(_, (number, _))| *number).collect()
}

#[test]
fn a_slow_receiver_gets_580_deliveries_in_their_order_with_few_looks_for_each() {
    let mut crowd = Crowd::new(10);
    for number in 0..580 {
        crowd.joins(number * 3);
    }
    let last = crowd.work(|_| 14_000);
    let looks: usize = crowd.looks.iter().sum();
    assert!(looks <= 5 * 580, "{looks} looks");
    assert!(crowd.median_of_looks() <= 4, "{}", crowd.median_of_looks());
    assert_eq!(out_of_order(&crowd), [0; 0]);
    // Ten at a time and without any gap it would take 812 seconds.
    assert!(last < 860_000, "{last}");
}

#[test]
fn deliveries_to_a_receiver_whose_pace_is_known_look_three_times() {
    let mut crowd = Crowd::new(10);
    for number in 0..580 {
        crowd.joins(number * 100);
    }
    crowd.work(|_| 14_000);
    let looks: usize = crowd.looks.iter().sum();
    assert!(looks <= 4 * 580, "{looks} looks");
    assert!(crowd.median_of_looks() <= 3, "{}", crowd.median_of_looks());
}

#[test]
fn deliveries_of_different_duration_keep_their_order_by_and_large() {
    let mut crowd = Crowd::new(20);
    for number in 0..580 {
        crowd.joins(number * 3);
    }
    let last = crowd.work(|number| 10_000 + 80 * ((i64::try_from(number).unwrap() * 7919) % 101));
    let places = crowd.started.iter().enumerate();
    let displaced: usize = places
        .map(|(place, (number, _))| place.abs_diff(*number))
        .sum();
    assert!(displaced < 10 * 580, "{displaced}");
    assert!(crowd.median_of_looks() <= 5, "{}", crowd.median_of_looks());
    assert!(last < 540_000, "{last}");
}

#[test]
fn a_newcomer_does_not_overtake_a_delivery_whose_turn_has_come() {
    let breakers = CircuitBreakers::new(1);
    let first = acquire_as(&breakers, 1, at(0)).ok().unwrap();
    let turn = acquire_as(&breakers, 2, at(0)).err().unwrap();
    first.report(Health::Up, turn);
    assert!(acquire_as(&breakers, 3, turn).is_err());
    assert!(acquire_as(&breakers, 2, turn).is_ok());
}

/// The message of a delivery that waits may come back to another process, which then makes the delivery.
#[test]
fn a_delivery_that_does_not_come_back_holds_up_no_other_for_long() {
    let breakers = CircuitBreakers::new(1);
    let first = acquire_as(&breakers, 1, at(0)).ok().unwrap();
    let turn = acquire_as(&breakers, 2, at(0)).err().unwrap();
    first.report(Health::Up, at(1));
    assert!(acquire_as(&breakers, 3, later(turn, Duration::from_secs(3))).is_ok());
}

#[test]
fn a_line_of_any_length_is_remembered_only_in_part() {
    let breakers = CircuitBreakers::new(10);
    let permits: Vec<Permit> = (0..10)
        .filter_map(|number| acquire_as(&breakers, number, at(0)).ok())
        .collect();
    let turns: Vec<Timestamp> = (10..8_000)
        .filter_map(|number| acquire_as(&breakers, number, at(0)).err())
        .collect();
    assert_eq!(turns.len(), 7_990);
    let all = lock(&breakers.all);
    let remembered = all
        .values()
        .map(|breaker| breaker.line.waiting())
        .sum::<usize>();
    assert_eq!(remembered, 5_000);
    drop(all);
    drop(permits);
}

#[test]
fn deliveries_held_by_a_pause_follow_each_other_after_it() {
    let breakers = CircuitBreakers::new(2);
    let permit = acquire_as(&breakers, 0, at(0)).ok().unwrap();
    let retry_after = Some(Duration::from_secs(100));
    permit.report(Health::Down { retry_after }, at(4));
    let turns: Vec<Timestamp> = (1..6)
        .filter_map(|number| acquire_as(&breakers, number, at(4)).err())
        .collect();
    assert_eq!(turns, [at(104), at(108), at(110), at(112), at(114)]);
    // Each keeps its place in the line when it looks again too early.
    assert_eq!(acquire_as(&breakers, 3, at(50)).err(), Some(at(110)));
}

#[test]
fn an_allowed_rate_spaces_deliveries_evenly() {
    let breakers = CircuitBreakers::new(10);
    breakers.limit_rate("tickets", "https://tickets.example", Some(6), at(0));
    let deliver = |number, second| match acquire_as(&breakers, number, at(second)) {
        Ok(permit) => {
            permit.report(Health::Up, at(second));
            Ok(())
        }
        Err(turn) => Err(turn),
    };
    assert_eq!(deliver(0, 0), Ok(()));
    assert_eq!(deliver(1, 0), Err(at(10)));
    assert_eq!(deliver(2, 0), Err(at(20)));
    assert_eq!(deliver(3, 1), Err(at(30)));
    assert_eq!(deliver(1, 10), Ok(()));
    assert_eq!(deliver(2, 19), Err(at(20)));
    assert_eq!(deliver(2, 20), Ok(()));
    breakers.limit_rate("tickets", "https://tickets.example", None, at(20));
    assert_eq!(deliver(3, 21), Ok(()));
    assert_eq!(deliver(4, 21), Ok(()));
}

#[test]
fn a_delivery_under_way_when_the_rate_becomes_known_keeps_it_too() {
    let breakers = CircuitBreakers::new(10);
    let [first, second] = [1, 2].map(|number| acquire_as(&breakers, number, at(0)).ok().unwrap());
    breakers.limit_rate("tickets", "https://tickets.example", Some(2), at(1));
    assert_eq!(first.keep_rate(at(1)), Ok(()));
    assert_eq!(second.keep_rate(at(1)), Err(at(31)));
    drop(second);
    assert_eq!(acquire_as(&breakers, 2, at(30)).err(), Some(at(31)));
    assert!(acquire_as(&breakers, 2, at(31)).is_ok());
}
