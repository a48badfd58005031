//! The alarms and the dashboard: that each is there, and that it looks at something which is really emitted.

use std::collections::BTreeSet;

use courier_core::operation::Outcome;
use serde_json::{Value, json};

use super::transformed::{properties, resources, short, template};
use crate::binaries::root;

/// Namespace, metric, and whose it is.
type Metric = (String, String, Vec<(String, String)>);

fn dimensions(metric: &Value) -> Vec<(String, String)> {
    let dimensions = metric["Dimensions"].as_array().unwrap().iter();
    dimensions
        .map(|dimension| (short(&dimension["Name"]), short(&dimension["Value"])))
        .collect()
}

fn metric(metric: &Value) -> Metric {
    let (namespace, name) = (short(&metric["Namespace"]), short(&metric["MetricName"]));
    (namespace, name, dimensions(metric))
}

fn alarms() -> Vec<(&'static str, &'static Value)> {
    let alarms = resources("AWS::CloudWatch::Alarm").into_iter();
    alarms
        .map(|(name, alarm)| (name, &alarm["Properties"]))
        .collect()
}

/// What an alarm looks at; several metrics where it calculates.
fn looked_at(alarm: &Value) -> Vec<Metric> {
    let Some(metrics) = alarm["Metrics"].as_array() else {
        return vec![metric(alarm)];
    };
    let metrics = metrics.iter().map(|part| &part["MetricStat"]["Metric"]);
    metrics
        .filter(|part| part.is_object())
        .map(metric)
        .collect()
}

#[test]
fn every_fault_that_needs_a_person_has_an_alarm() {
    for (namespace, name, dimension, whose) in [
        ("GraphCourier", "StartUnknown", "Table", "Table"),
        ("GraphCourier", "Undeliverable", "Table", "Table"),
        ("GraphCourier", "Stumbled", "Table", "Table"),
        ("GraphCourier", "Overdue", "Table", "Table"),
        (
            "AWS/SQS",
            "ApproximateNumberOfMessagesVisible",
            "QueueName",
            "DeadLetterQueue.QueueName",
        ),
        (
            "AWS/SQS",
            "ApproximateAgeOfOldestMessage",
            "QueueName",
            "Queue.QueueName",
        ),
        ("AWS/Lambda", "Errors", "FunctionName", "StartOperation"),
        ("AWS/Lambda", "Errors", "FunctionName", "PollOperation"),
        ("AWS/Lambda", "Errors", "FunctionName", "SweepOperations"),
        ("AWS/Lambda", "Throttles", "FunctionName", "StartOperation"),
        ("AWS/Lambda", "Throttles", "FunctionName", "PollOperation"),
        ("AWS/Lambda", "Throttles", "FunctionName", "SweepOperations"),
        (
            "AWS/Lambda",
            "RecursiveInvocationsDropped",
            "FunctionName",
            "PollOperation",
        ),
    ] {
        let whose = vec![(dimension.to_owned(), whose.to_owned())];
        let wanted = (namespace.to_owned(), name.to_owned(), whose);
        let found = alarms().into_iter();
        let found = found.filter(|(_, alarm)| alarm["Metrics"].is_null());
        let found: Vec<_> = found.filter(|(_, alarm)| metric(alarm) == wanted).collect();
        let [(_, alarm)] = found.as_slice() else {
            panic!("{} alarms on {wanted:?}", found.len());
        };
        let statistic = &alarm["Statistic"];
        assert!(statistic == "Sum" || statistic == "Maximum", "{wanted:?}");
    }
}

#[test]
fn every_alarm_fires_above_its_threshold_and_notifies_the_topic() {
    for (name, alarm) in alarms() {
        let comparison = &alarm["ComparisonOperator"];
        assert_eq!(comparison, "GreaterThanThreshold", "{name}");
        assert_eq!(alarm["TreatMissingData"], "notBreaching", "{name}");
        let action = json!({ "Fn::If": [
            "HasAlarmTopic", [{ "Ref": "AlarmTopicArn" }], { "Ref": "AWS::NoValue" }
        ] });
        assert_eq!(alarm["AlarmActions"], action, "{name}");
        // Messages wait by design and are renewed after 7 days, so only 8 days are a fault.
        let eight_days = 8 * 24 * 3600;
        let threshold = if name == "OldestMessageAlarm" {
            eight_days
        } else {
            0
        };
        assert_eq!(alarm["Threshold"], threshold, "{name}");
        let wanted = if name == "PollSilenceAlarm" {
            "HasMetricMath"
        } else {
            "HasAlarms"
        };
        assert_eq!(template()["Resources"][name]["Condition"], wanted);
    }
    assert_eq!(template()["Parameters"]["WithAlarms"]["Default"], "true");
}

#[test]
fn twelve_hours_without_a_poll_while_messages_wait_raise_an_alarm() {
    let alarm = properties("PollSilenceAlarm");
    let metrics = alarm["Metrics"].as_array().unwrap();
    let expression = metrics[0]["Expression"].as_str().unwrap();
    let silent = "IF(FILL(visible, 0) + FILL(hidden, 0) > 0 AND FILL(polls, 0) < 1, 1, 0)";
    assert_eq!(expression, silent);
    let parts: Vec<_> = metrics[1..]
        .iter()
        .map(|part| {
            assert_eq!(part["ReturnData"], false);
            assert_eq!(part["MetricStat"]["Period"], 3600);
            let name = short(&part["MetricStat"]["Metric"]["MetricName"]);
            (short(&part["Id"]), name)
        })
        .collect();
    let part = |id: &str, name: &str| (id.to_owned(), name.to_owned());
    assert_eq!(
        parts,
        [
            part("visible", "ApproximateNumberOfMessagesVisible"),
            part("hidden", "ApproximateNumberOfMessagesNotVisible"),
            part("polls", "Polls"),
        ]
    );
    assert_eq!(alarm["EvaluationPeriods"], 12);
    assert_eq!(alarm["DatapointsToAlarm"], Value::Null, "all of them");
}

/// What the dashboard shows.
fn shown() -> Vec<Metric> {
    let body = short(&properties("Dashboard")["DashboardBody"]);
    let body: Value = serde_json::from_str(&body).unwrap();
    let widgets = body["widgets"].as_array().unwrap().iter();
    let lines = widgets.flat_map(|widget| widget["properties"]["metrics"].as_array().unwrap());
    lines
        .map(|line| {
            let words = line.as_array().unwrap().iter().filter_map(Value::as_str);
            let words: Vec<&str> = words.collect();
            let dimensions = words[2..].chunks(2).map(|pair| {
                let value = pair[1].trim_start_matches("${").trim_end_matches('}');
                (pair[0].to_owned(), value.to_owned())
            });
            let dimensions = dimensions.collect();
            (words[0].to_owned(), words[1].to_owned(), dimensions)
        })
        .collect()
}

#[test]
fn alarms_and_dashboard_use_metrics_that_the_program_emits() {
    let source = root().join("shared/courier-aws/src/emf.rs");
    let source = std::fs::read_to_string(source).unwrap();
    let (program, _) = source.split_once("#[cfg(test)]").unwrap();
    assert!(program.contains("const NAMESPACE: &str = \"GraphCourier\";"));
    let outcomes: BTreeSet<&str> = Outcome::ALL.map(Outcome::as_str).into();
    let callbacks = BTreeSet::from(["delivered", "refused", "unanswered"]);
    let mut seen = BTreeSet::new();
    let used = alarms()
        .into_iter()
        .flat_map(|(_, alarm)| looked_at(alarm))
        .chain(shown());
    for (namespace, name, dimensions) in used {
        if namespace != "GraphCourier" {
            continue;
        }
        assert!(
            program.contains(&format!("(\"{name}\", "))
                || program.contains(&format!("insert(\"{name}\"")),
            "nobody emits {name}"
        );
        let pairs: Vec<(&str, &str)> = dimensions
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        match (name.as_str(), pairs.as_slice()) {
            ("Ended", [("Table", "Table"), ("Outcome", word)]) => assert!(outcomes.contains(word)),
            ("Callbacks", [("Table", "Table"), ("Result", word)]) => {
                assert!(callbacks.contains(word));
            }
            (_, [("Table", "Table")]) if name != "Ended" && name != "Callbacks" => {}
            other => panic!("no such dimensions: {other:?}"),
        }
        seen.insert(name);
    }
    // And everything that is emitted can be seen.
    assert_eq!(seen.len(), 10, "{seen:?}");
}
