//! The page of metrics, the alert rules and the dashboard name what there is, and the page explains each of them.

use std::collections::BTreeSet;

use courier_local::metrics::families::FAMILIES;
use courier_local::metrics::text::Kind;
use serde_json::Value;

use crate::rules::read;

const RULES: &str = "packaging/prometheus/alerts.yaml";
const TESTS: &str = "packaging/prometheus/alerts_test.yaml";
const DASHBOARD: &str = "packaging/prometheus/dashboard.json";

fn samples() -> BTreeSet<String> {
    FAMILIES.iter().map(|family| family.sample()).collect()
}

/// Returns the metrics that a text names.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words
        .filter(|word| word.starts_with("courier_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_page_has_a_row_for_each_metric() {
    let page = read("docs/metrics.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let listed: BTreeSet<String> = rows
        .map(|row| row.split('`').next().unwrap().to_owned())
        .filter(|name| name.contains('_'))
        .collect();
    assert_eq!(listed, samples());
    for family in FAMILIES {
        assert!(family.name.ends_with(family.unit), "{}", family.name);
    }
}

#[test]
fn every_metric_of_the_rules_and_the_dashboard_exists() {
    let mut known = samples();
    let histograms = FAMILIES
        .iter()
        .filter(|family| family.kind == Kind::Histogram);
    known.extend(histograms.flat_map(|family| {
        ["bucket", "count", "sum"].map(|part| format!("{}_{part}", family.name))
    }));
    let mut shown = BTreeSet::new();
    for file in [RULES, TESTS, DASHBOARD] {
        let named = named(&read(file));
        let unknown: Vec<_> = named.difference(&known).collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
        assert!(named.len() > 5, "{file}");
        shown.extend(named);
    }
    let whole = |family: &str| shown.iter().any(|name| name.starts_with(family));
    let left_out: Vec<_> = FAMILIES
        .iter()
        .filter(|family| !whole(family.name))
        .collect();
    assert!(left_out.is_empty(), "nobody looks at {left_out:?}");
}

#[test]
fn the_dashboard_shows_panels_that_do_not_overlap() {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let targets = panel["targets"].as_array().unwrap();
        assert!(targets.iter().all(|target| target["expr"].is_string()));
        let at = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        for x in at("x")..at("x") + at("w") {
            assert!(x < 24, "{panel}");
            for y in at("y")..at("y") + at("h") {
                assert!(places.insert((x, y)), "{panel}");
            }
        }
    }
}

#[test]
fn every_rule_is_explained_and_each_alarm_of_the_cloud_has_one() {
    let (page, rules) = (read("docs/metrics.md"), read(RULES));
    let alerts: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    let explained: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    assert_eq!(explained, alerts);
    let template = read("infra/template.yaml");
    let alarms = template.split("Namespace: GraphCourier\n").skip(1);
    let mut count = 0;
    for alarm in alarms {
        let metric = alarm.trim().strip_prefix("MetricName: ").unwrap();
        let metric = metric.lines().next().unwrap();
        let row = page
            .lines()
            .find(|line| line.starts_with(&format!("| `{metric}`")));
        if row.is_some_and(|row| row.ends_with("are on AWS only |")) {
            continue;
        }
        let rule = row.and_then(|row| row.trim_end_matches(" |").rsplit(' ').next());
        assert!(
            alerts.contains(&rule.unwrap_or_default()),
            "{metric}: {rule:?}"
        );
        count += 1;
    }
    assert!(count > 5);
}
