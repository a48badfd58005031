//! The alarms and the dashboard: what each looks at, that it is really emitted, and that the page of the template tells.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use courier_aws::emf;
use courier_core::engine::metrics::Counts;
use courier_core::operation::Outcome;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::transformed::{properties, resources, short, template};
use crate::binaries::root;

/// Name: namespace, metric and dimensions; statistic over how many seconds; the rule; what missing data counts as.
const ALARMS: &str = "\
AcceptErrors: AWS/Lambda Errors FunctionName=AcceptRequest; Sum 300; > 0, 1 of 1; notBreaching
ApiError: AWS/ApiGateway 5xx ApiId=HttpApi Stage=HttpApiStage; Sum 300; > 0, 2 of 3; notBreaching
AuthorizationLost: GraphCourier AuthorizationLost Table=Table; Sum 3600; > 0, 1 of 1; notBreaching
DeadLetter: AWS/SQS ApproximateNumberOfMessagesVisible QueueName=DeadLetterQueue.QueueName; Maximum 300; > 0, 1 of 1; notBreaching
EventsRefused: GraphCourier EventsRefused Table=Table; Sum 300; > 0, 1 of 1; notBreaching
InFlight: AWS/SQS ApproximateNumberOfMessagesNotVisible QueueName=Queue.QueueName; Maximum 300; > 90000, 1 of 1; notBreaching
IntakeDeadLetter: AWS/SQS ApproximateNumberOfMessagesVisible QueueName=IntakeDeadLetterQueue.QueueName; Maximum 300; > 0, 1 of 1; notBreaching
IntakeStuck: AWS/SQS ApproximateNumberOfMessagesVisible QueueName=IntakeQueue.QueueName; Minimum 300; > 0, 3 of 3; notBreaching
Orphaned: GraphCourier Callbacks Table=Table Result=orphaned; Sum 7200; > 0, 1 of 1; notBreaching
Overdue: GraphCourier Overdue Table=Table; Sum 3600; > 0, 1 of 1; notBreaching
PollErrors: AWS/Lambda Errors FunctionName=PollOperation; Sum 300; > 0, 1 of 1; notBreaching
PollThrottles: AWS/Lambda Throttles FunctionName=PollOperation; Sum 300; > 0, 2 of 3; notBreaching
QueueStuck: AWS/SQS ApproximateNumberOfMessagesVisible QueueName=Queue.QueueName; Minimum 300; > 0, 3 of 3; notBreaching
Recursion: AWS/Lambda RecursiveInvocationsDropped FunctionName=PollOperation; Sum 300; > 0, 1 of 1; notBreaching
StartErrors: AWS/Lambda Errors FunctionName=StartOperation; Sum 300; > 0, 1 of 1; notBreaching
StartThrottles: AWS/Lambda Throttles FunctionName=StartOperation; Sum 300; > 0, 2 of 3; notBreaching
StartUnknown: GraphCourier StartUnknown Table=Table; Sum 300; > 0, 1 of 1; notBreaching
Stumbled: GraphCourier Stumbled Table=Table; Sum 300; > 0, 1 of 1; notBreaching
SweepErrors: AWS/Lambda Errors FunctionName=SweepOperations; Sum 300; > 0, 1 of 1; notBreaching
SweepThrottles: AWS/Lambda Throttles FunctionName=SweepOperations; Sum 300; > 0, 2 of 3; notBreaching
SweeperSilent: AWS/Lambda Invocations FunctionName=SweepOperations; Sum 300; < 1, 6 of 6; breaching
Unannounced: GraphCourier Events Table=Table Result=undeliverable; Sum 300; > 0, 1 of 1; notBreaching
Undeliverable: GraphCourier Undeliverable Table=Table; Sum 300; > 0, 1 of 1; notBreaching
Unusable: GraphCourier Unusable Table=Table; Sum 7200; > 0, 1 of 1; notBreaching
";
/// What AWS documents of those of its metrics that are used: "Available CloudWatch metrics for Amazon SQS", "Types of
/// metrics for Lambda functions", "Monitor CloudWatch metrics for HTTP APIs".
const METRICS_OF_AWS: [(&str, &[&str]); 8] = [
    ("AWS/ApiGateway 5xx", &["ApiId", "Stage"]),
    ("AWS/Lambda Duration", &["FunctionName"]),
    ("AWS/Lambda Errors", &["FunctionName"]),
    ("AWS/Lambda Invocations", &["FunctionName"]),
    ("AWS/Lambda RecursiveInvocationsDropped", &["FunctionName"]),
    ("AWS/Lambda Throttles", &["FunctionName"]),
    (
        "AWS/SQS ApproximateNumberOfMessagesNotVisible",
        &["QueueName"],
    ),
    ("AWS/SQS ApproximateNumberOfMessagesVisible", &["QueueName"]),
];
const RESULTS: [&str; 5] = ["delivered", "orphaned", "parked", "refused", "unanswered"];

const EVENT_RESULTS: [&str; 4] = ["dropped", "failed", "sent", "undeliverable"];

/// A metric as `namespace name`, and its dimensions.
type Metric = (String, Vec<(String, String)>);

/// The properties of each alarm, by its name without `Alarm`.
pub(super) fn alarms() -> BTreeMap<&'static str, &'static Value> {
    let alarms = resources("AWS::CloudWatch::Alarm").into_iter();
    let named = alarms.map(|(name, alarm)| {
        let conditions = ["HasAlarms", "HasIntakeAlarms"].map(Value::from);
        assert!(conditions.contains(&alarm["Condition"]), "{name}");
        (name.strip_suffix("Alarm").unwrap(), &alarm["Properties"])
    });
    named.collect()
}

fn looked_at(alarm: &Value) -> Metric {
    let dimensions = alarm["Dimensions"].as_array().unwrap().iter();
    let dimensions = dimensions.map(|one| (short(&one["Name"]), short(&one["Value"])));
    let name = format!(
        "{} {}",
        short(&alarm["Namespace"]),
        short(&alarm["MetricName"])
    );
    (name, dimensions.collect())
}

/// How many of how many periods must breach.
pub(super) fn periods(alarm: &Value) -> (u64, u64) {
    let all = alarm["EvaluationPeriods"].as_u64().unwrap();
    (alarm["DatapointsToAlarm"].as_u64().unwrap_or(all), all)
}

fn sign(alarm: &Value) -> &'static str {
    match alarm["ComparisonOperator"].as_str() {
        Some("GreaterThanThreshold") => ">",
        Some("LessThanThreshold") => "<",
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_fault_that_needs_a_person_has_its_alarm() {
    let mut found = String::new();
    for (name, alarm) in alarms() {
        let (metric, dimensions) = looked_at(alarm);
        let dimensions = dimensions
            .iter()
            .map(|(name, value)| format!(" {name}={value}"));
        let dimensions: String = dimensions.collect();
        let (statistic, period) = (short(&alarm["Statistic"]), &alarm["Period"]);
        let (sign, threshold) = (sign(alarm), &alarm["Threshold"]);
        let (breaching, all) = periods(alarm);
        let missing = short(&alarm["TreatMissingData"]);
        found += &format!(
            "{name}: {metric}{dimensions}; {statistic} {period}; {sign} {threshold}, {breaching} of {all}; {missing}\n"
        );
    }
    assert_eq!(found, ALARMS);
    assert_eq!(template()["Parameters"]["WithAlarms"]["Default"], "true");
}

#[test]
fn every_alarm_tells_the_topic_when_it_begins_and_when_it_ends() {
    let topic = json!({ "Fn::If": [
        "HasAlarmTopic", [{ "Ref": "AlarmTopicArn" }], { "Ref": "AWS::NoValue" }
    ] });
    for (name, alarm) in alarms() {
        assert_eq!(alarm["AlarmActions"], topic, "{name}");
        assert_eq!(alarm["OKActions"], topic, "{name}");
        // Longer ranges are refused by CloudWatch.
        let (_, all) = periods(alarm);
        assert!(
            all * alarm["Period"].as_u64().unwrap() <= 24 * 3600,
            "{name}"
        );
    }
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
            (format!("{} {}", words[0], words[1]), dimensions.collect())
        })
        .collect()
}

/// One of everything that the program counts.
pub(super) fn everything() -> Counts {
    Counts {
        started: 1,
        ended: Outcome::ALL.map(|outcome| (outcome.as_str(), 1)).into(),
        polls: 1,
        throttled: 1,
        callbacks: RESULTS.map(|result| (result, 1)).into(),
        events: EVENT_RESULTS.map(|result| (result, 1)).into(),
        completion_lags: vec![Duration::from_secs(1)],
        start_unknown: 1,
        undeliverable: 1,
        authorization_lost: 1,
        step_crashes: 1,
        overdue: 1,
        unusable: 1,
        events_refused: 1,
    }
}

/// What the program emits of these counts for the table `Table`, with the value.
pub(super) fn emitted(counts: &Counts) -> Vec<(Metric, f64)> {
    let lines = emf::lines("Table", counts, Timestamp::UNIX_EPOCH);
    let metrics = lines.iter().flat_map(|line| {
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        let dimensions = directive["Dimensions"][0].as_array().unwrap().iter();
        let dimensions = dimensions.map(|name| {
            let name = name.as_str().unwrap();
            (name.to_owned(), line[name].as_str().unwrap().to_owned())
        });
        let dimensions: Vec<_> = dimensions.collect();
        let metrics = directive["Metrics"].as_array().unwrap().iter();
        metrics.map(move |metric| {
            let name = metric["Name"].as_str().unwrap();
            let value = line[name].as_f64().or_else(|| line[name][0].as_f64());
            let full = format!("{} {name}", directive["Namespace"].as_str().unwrap());
            ((full, dimensions.clone()), value.unwrap())
        })
    });
    metrics.collect()
}

#[test]
fn alarms_and_dashboard_use_metrics_that_the_program_or_aws_emits() {
    let emitted: BTreeSet<Metric> = emitted(&everything())
        .into_iter()
        .map(|(metric, _)| metric)
        .collect();
    let used: BTreeSet<Metric> = alarms()
        .into_values()
        .map(looked_at)
        .chain(shown())
        .collect();
    let (ours, of_aws): (BTreeSet<_>, BTreeSet<_>) = used
        .into_iter()
        .partition(|(name, _)| name.starts_with("GraphCourier "));
    // And everything that is emitted can be seen.
    assert_eq!(ours, emitted);
    let documented = BTreeMap::from(METRICS_OF_AWS);
    let mut used = BTreeSet::new();
    for (name, dimensions) in &of_aws {
        let names: Vec<&str> = dimensions.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(documented.get(name.as_str()), Some(&&*names), "{name}");
        used.insert(name.as_str());
    }
    assert_eq!(used, documented.into_keys().collect());
    // The results of callbacks are words of the core.
    let core = root().join("shared/courier-core/src/engine/step/calls.rs");
    let core = std::fs::read_to_string(core).unwrap();
    for result in RESULTS {
        assert!(core.contains(&format!("\"{result}\"")), "{result}");
    }
}

/// An alarm's rule in the words of the page of the template.
fn in_words(alarm: &Value) -> [String; 2] {
    let (metric, dimensions) = looked_at(alarm);
    let (namespace, metric) = metric.split_once(' ').unwrap();
    let whose: Vec<&str> = dimensions
        .iter()
        .map(|(name, value)| match (name.as_str(), value.as_str()) {
            ("Table", _) => "",
            ("QueueName", "Queue.QueueName") => " of the queue",
            ("QueueName", "DeadLetterQueue.QueueName") => " of the dead-letter queue",
            ("QueueName", "IntakeQueue.QueueName") => " of the intake queue",
            ("QueueName", _) => " of the intake's dead-letter queue",
            ("FunctionName", "StartOperation") => " of `start-operation`",
            ("FunctionName", "PollOperation") => " of `poll-operation`",
            ("FunctionName", "SweepOperations") => " of `sweep-operations`",
            ("FunctionName", _) => " of `accept-request`",
            ("Result", "undeliverable") => " with `Result=undeliverable`",
            ("Result", _) => " with `Result=orphaned`",
            ("ApiId", _) => " of the HTTP API",
            _ => "",
        })
        .collect();
    let statistic = short(&alarm["Statistic"]).to_lowercase();
    let comparison = if sign(alarm) == ">" { "above" } else { "below" };
    let minutes = alarm["Period"].as_u64().unwrap() / 60;
    let window = match periods(alarm) {
        (1, 1) => format!("in {minutes} min"),
        (some, all) if some == all => format!("for {all} × {minutes} min"),
        (some, all) => format!("in {some} of {all} × {minutes} min"),
    };
    let threshold = &alarm["Threshold"];
    [
        format!("{namespace} `{metric}`{}", whose.concat()),
        format!("{statistic} {comparison} {threshold} {window}"),
    ]
}

/// Returns the rows of the table of a page whose head begins so.
pub(super) fn rows_below<'p>(page: &'p str, head: &'p str) -> impl Iterator<Item = &'p str> {
    page.lines()
        .skip_while(move |line| !line.starts_with(head))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
}

#[test]
fn the_readme_of_the_template_tells_what_each_alarm_sees_and_when() {
    let readme = std::fs::read_to_string(root().join("infra/README.md")).unwrap();
    let rows = rows_below(&readme, "| alarm |");
    let told: BTreeMap<&str, [String; 2]> = rows
        .map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
            let [name, sees, when, ..] = cells.as_slice() else {
                panic!("{row}");
            };
            (
                name.trim_matches('`'),
                [sees, when].map(|cell| (*cell).to_owned()),
            )
        })
        .collect();
    let found: BTreeMap<&str, [String; 2]> = alarms()
        .into_iter()
        .map(|(name, alarm)| (name, in_words(alarm)))
        .collect();
    assert_eq!(told, found);
    // A dime a month for each; those of the intake queue are a part of its own cost.
    let count = resources("AWS::CloudWatch::Alarm").into_iter();
    let count = count
        .filter(|(_, alarm)| alarm["Condition"] == "HasAlarms")
        .count();
    let cost = format!("| alarms: {count} | {:.2} |", count as f64 / 10.0);
    assert!(readme.contains(&cost), "{cost}");
}

#[test]
fn the_readme_of_the_template_lists_the_metrics_of_the_program() {
    let readme = std::fs::read_to_string(root().join("infra/README.md")).unwrap();
    let rows = rows_below(&readme, "| metric |");
    let told: BTreeSet<&str> = rows.map(|row| row.split('`').nth(1).unwrap()).collect();
    let emitted: BTreeSet<String> = emitted(&everything())
        .into_iter()
        .map(|((name, _), _)| name.strip_prefix("GraphCourier ").unwrap().to_owned())
        .collect();
    assert_eq!(told, emitted.iter().map(String::as_str).collect());
}
