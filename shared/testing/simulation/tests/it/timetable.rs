//! The learned timetable needs fewer looks than one at every tenth of the age, and sees the end of jobs sooner.

use courier_simulation::timetable::{Row, cases, simulate};

/// Number of the first operation of a sequence that has a forecast.
const FIRST_FORECAST: u64 = 8;

fn rows() -> impl Iterator<Item = Row> {
    cases().into_iter().map(simulate)
}

#[test]
fn learned_looks_are_fewer_and_sooner_from_an_hour_up_and_the_same_without_a_forecast() {
    let mut rows_seen = 0;
    for row in rows() {
        let (learned, tenth) = (row.learned, row.tenth);
        let is_cold = row.case.counted.1 <= FIRST_FORECAST;
        let is_steady = !row.case.name.contains("then");
        if is_cold {
            assert_eq!(
                (learned.looks, learned.lag),
                (tenth.looks, tenth.lag),
                "{row}"
            );
        } else if is_steady && !row.case.name.starts_with("5 min") {
            assert!(learned.looks < tenth.looks, "{row}");
            // Where the catalogue's longest pause rules, both are as late.
            let ruled_by_cap = row.case.capped && row.case.name.starts_with("7 d");
            assert!(
                learned.lag < tenth.lag * if ruled_by_cap { 1.2 } else { 1.0 },
                "{row}"
            );
        } else if is_steady {
            // The catalogue's first pause, a minute, rules.
            assert!(learned.looks < tenth.looks + 1.0, "{row}");
            assert!(learned.lag < tenth.lag * 1.05, "{row}");
        }
        rows_seen += 1;
    }
    assert!(rows_seen > 30);
}

#[test]
fn a_known_kind_of_job_needs_18_to_29_looks_at_2_to_3_percent_lag_for_any_length() {
    let known = rows().filter(|row| row.case.counted.0 == 100 && row.case.counted.1 == 200);
    let long = known.filter(|row| !row.case.name.starts_with("5 min"));
    let free = long.filter(|row| !(row.case.capped && row.case.name.starts_with("7 d")));
    for row in free {
        assert!(row.learned.looks < 30.0, "{row}");
        assert!(row.learned.lag < 0.035, "{row}");
    }
}

#[test]
fn a_wrong_forecast_costs_few_looks_and_a_bounded_lag_and_is_soon_forgotten() {
    for row in rows().filter(|row| row.case.name.contains("then")) {
        let (learned, tenth) = (row.learned, row.tenth);
        assert!(learned.looks < tenth.looks * 1.25, "{row}");
        if row.case.counted.0 >= 140 {
            assert!(learned.lag < tenth.lag * 1.5, "{row}");
        }
    }
}
