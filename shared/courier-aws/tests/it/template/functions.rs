//! The functions, their event sources and the HTTP API, as the program expects them.

use courier_aws::batch::{MOST_RECEIVES, OLD};
use courier_aws::settings::{
    COURIER_BASE_PATH, COURIER_CONFIG, COURIER_CONSOLE, COURIER_IN_FLIGHT_LIMIT, COURIER_LOG,
    COURIER_QUEUE_URL, COURIER_TABLE,
};
use serde_json::{Value, json};

use super::transformed::{FUNCTIONS, names, properties, resources, short, template};

const DAY: u64 = 24 * 3600;

fn parameter(name: &str) -> &'static Value {
    &template()["Parameters"][name]
}

fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn each_function_has_the_timeout_that_the_program_counts_on() {
    let timeout = |name: &str| number(&properties(name)["Timeout"]);
    assert_eq!(FUNCTIONS.map(timeout), [29, 60, 240, 60]);
    let integration = &properties("HttpApiIntegration")["TimeoutInMillis"];
    assert_eq!(number(integration), 30_000);
}

#[test]
fn each_function_is_a_small_arm64_program_with_the_variables_that_it_reads() {
    for name in FUNCTIONS {
        let function = properties(name);
        assert_eq!(short(&function["MemorySize"]), "MemorySize", "{name}");
        assert_eq!(
            function["Architectures"],
            json!([{ "Ref": "Architecture" }])
        );
        assert_eq!(function["Runtime"], "provided.al2023", "{name}");
        // Only the poll function sends to the queue that feeds it.
        let own_queue = name.starts_with("Poll");
        let recursion = if own_queue { "Allow" } else { "Terminate" };
        assert_eq!(function["RecursiveLoop"], recursion, "{name}");
        assert_eq!(function["LoggingConfig"]["LogFormat"], "JSON", "{name}");
        let variables = &function["Environment"]["Variables"];
        let mut read = vec![
            COURIER_CONFIG,
            COURIER_IN_FLIGHT_LIMIT,
            COURIER_LOG,
            COURIER_QUEUE_URL,
            COURIER_TABLE,
        ];
        if name == "StartOperation" {
            read.push(COURIER_BASE_PATH);
            assert_eq!(short(&variables[COURIER_BASE_PATH]), "BasePath");
            read.push(COURIER_CONSOLE);
            assert_eq!(short(&variables[COURIER_CONSOLE]), "Console");
        }
        read.sort_unstable();
        assert_eq!(names(variables), read, "{name}");
        assert_eq!(short(&variables[COURIER_QUEUE_URL]), "Queue");
        assert_eq!(short(&variables[COURIER_TABLE]), "Table");
        let limit = short(&variables[COURIER_IN_FLIGHT_LIMIT]);
        assert_eq!(limit, "InFlightLimit");
    }
    assert_eq!(parameter("Architecture")["Default"], "arm64");
    assert_eq!(parameter("BasePath")["Default"], "");
    assert_eq!(parameter("Console")["Default"], "off");
    assert_eq!(parameter("MemorySize")["Default"], 128);
}

#[test]
fn only_the_start_function_has_reserved_concurrency_and_only_if_it_is_asked_for() {
    let reserved = |name: &str| &properties(name)["ReservedConcurrentExecutions"];
    let wanted = json!({ "Fn::If": [
        "HasStartReservedConcurrency",
        { "Ref": "StartReservedConcurrency" },
        { "Ref": "AWS::NoValue" },
    ] });
    assert_eq!(reserved("StartOperation"), &wanted);
    // It would make the mapping count receives for nothing.
    assert_eq!(reserved("PollOperation"), &Value::Null);
    assert_eq!(reserved("SweepOperations"), &Value::Null);
    assert_eq!(reserved("AcceptRequest"), &Value::Null);
    // Zero would switch the function off.
    let condition = &template()["Conditions"]["HasStartReservedConcurrency"];
    let is_zero = json!({ "Fn::Equals": [{ "Ref": "StartReservedConcurrency" }, "0"] });
    assert_eq!(condition, &json!({ "Fn::Not": [is_zero] }));
    assert_eq!(parameter("StartReservedConcurrency")["Default"], 0);
}

#[test]
fn a_message_outlives_every_wait_the_program_makes_of_it() {
    let (queue, dead) = (properties("Queue"), properties("DeadLetterQueue"));
    let timeout = number(&properties("PollOperation")["Timeout"]);
    assert!(number(&queue["VisibilityTimeout"]) >= 6 * timeout);
    let retention = |queue: &Value| number(&queue["MessageRetentionPeriod"]);
    let renewed_after = OLD.as_secs().unsigned_abs();
    assert!(
        retention(queue) >= renewed_after + 3 * DAY,
        "renewed too late"
    );
    assert!(retention(dead) > retention(queue));
    let redrive = &queue["RedrivePolicy"];
    assert!(number(&redrive["maxReceiveCount"]) >= 2 * u64::from(MOST_RECEIVES));
    assert_eq!(
        short(&redrive["deadLetterTargetArn"]),
        "DeadLetterQueue.Arn"
    );
    assert_eq!(queue["FifoQueue"], Value::Null);
}

#[test]
fn the_queue_feeds_poll_operation_and_a_batch_may_fail_in_part() {
    let mappings = resources("AWS::Lambda::EventSourceMapping");
    assert_eq!(mappings.len(), 2);
    let mapping = properties("PollMapping");
    // These and no others: a filter would delete messages, a window would make them late.
    let settings = [
        "BatchSize",
        "EventSourceArn",
        "FunctionName",
        "FunctionResponseTypes",
        "ScalingConfig",
    ];
    assert_eq!(names(mapping), settings);
    assert_eq!(mapping["BatchSize"], 10);
    assert_eq!(short(&mapping["EventSourceArn"]), "Queue.Arn");
    assert_eq!(short(&mapping["FunctionName"]), "PollOperation");
    assert_eq!(
        mapping["FunctionResponseTypes"],
        json!(["ReportBatchItemFailures"])
    );
    let concurrency = &mapping["ScalingConfig"]["MaximumConcurrency"]["Fn::If"];
    assert_eq!(short(&concurrency[2]), "MaximumConcurrency");
    let default = &parameter("MaximumConcurrency")["Default"];
    assert_eq!((default, &concurrency[1]), (&json!(5), default));
}

#[test]
fn an_intake_queue_feeds_accept_request_where_it_is_asked_for() {
    assert_eq!(parameter("WithIntake")["Default"], "false");
    for name in [
        "AcceptLogGroup",
        "AcceptMapping",
        "AcceptRequest",
        "AcceptRole",
        "IntakeDeadLetterQueue",
        "IntakeQueue",
        "IntakeQueuePolicy",
    ] {
        let condition = &template()["Resources"][name]["Condition"];
        assert_eq!(condition, "HasIntake", "{name}");
    }
    let mapping = properties("AcceptMapping");
    assert_eq!(short(&mapping["EventSourceArn"]), "IntakeQueue.Arn");
    assert_eq!(short(&mapping["FunctionName"]), "AcceptRequest");
    let partial = json!(["ReportBatchItemFailures"]);
    assert_eq!(mapping["FunctionResponseTypes"], partial);
    assert_eq!(mapping["FilterCriteria"], Value::Null);
    let (queue, dead) = (
        properties("IntakeQueue"),
        properties("IntakeDeadLetterQueue"),
    );
    let timeout = number(&properties("AcceptRequest")["Timeout"]);
    assert!(number(&queue["VisibilityTimeout"]) >= 6 * timeout);
    let retention = |queue: &Value| number(&queue["MessageRetentionPeriod"]);
    assert!(retention(dead) > retention(queue));
    let redrive = &queue["RedrivePolicy"];
    let arn = short(&redrive["deadLetterTargetArn"]);
    assert_eq!(arn, "IntakeDeadLetterQueue.Arn");
    // Only the two services, and only for this account: whoever may send asks as the client.
    let policy = &properties("IntakeQueuePolicy")["PolicyDocument"]["Statement"];
    let key = &properties("Key")["KeyPolicy"]["Statement"][2]["Fn::If"];
    assert_eq!(key[0], "HasIntake");
    for statement in [&policy[0], &key[1]] {
        let services = json!(["events.amazonaws.com", "sns.amazonaws.com"]);
        assert_eq!(statement["Principal"], json!({ "Service": services }));
        let account = json!({ "aws:SourceAccount": { "Ref": "AWS::AccountId" } });
        assert_eq!(statement["Condition"], json!({ "StringEquals": account }));
    }
}

#[test]
fn the_sweeper_runs_every_five_minutes() {
    let rules = resources("AWS::Events::Rule");
    assert_eq!(rules.len(), 1);
    let rule = properties("SweepSchedule");
    assert_eq!(rule["ScheduleExpression"], "rate(5 minutes)");
    assert_eq!(short(&rule["Targets"][0]["Arn"]), "SweepOperations.Arn");
    let permission = properties("SweepSchedulePermission");
    assert_eq!(permission["Principal"], "events.amazonaws.com");
    assert_eq!(short(&permission["SourceArn"]), "SweepSchedule.Arn");
}

#[test]
fn the_http_api_has_its_routes_and_a_throttle() {
    // An event of the function would make an API of its own, with a definition instead of routes.
    let apis = resources("AWS::ApiGatewayV2::Api");
    assert_eq!(apis.len(), 1);
    assert_eq!(names(properties("HttpApi")), ["Name", "ProtocolType"]);
    let mut keys: Vec<String> = resources("AWS::ApiGatewayV2::Route")
        .iter()
        .map(|(_, route)| {
            let route = &route["Properties"];
            assert_eq!(
                short(&route["Target"]),
                "integrations/${HttpApiIntegration}"
            );
            short(&route["RouteKey"])
        })
        .collect();
    keys.sort_unstable();
    let expected = [
        "ANY /console",
        "ANY /console/{proxy+}",
        "ANY /healthz",
        "ANY /openapi.json",
        "ANY /readyz",
        "ANY /v1/{proxy+}",
    ];
    assert_eq!(keys, expected);
    let conditional = resources("AWS::ApiGatewayV2::Route")
        .iter()
        .filter(|(_, route)| route["Condition"] == "HasConsole")
        .count();
    assert_eq!(conditional, 2);
    let integration = properties("HttpApiIntegration");
    assert_eq!(integration["PayloadFormatVersion"], "2.0");
    assert!(short(&integration["IntegrationUri"]).contains("${StartOperation.Arn}"));
    let stage = properties("HttpApiStage");
    assert_eq!(short(&stage["StageName"]), "StageName");
    assert_eq!(parameter("StageName")["Default"], "$default");
    let url = &template()["Outputs"]["ApiUrl"]["Value"]["Fn::If"];
    assert_eq!(url[0], "HasDefaultStage");
    assert_eq!(short(&url[1]), "HttpApi.ApiEndpoint");
    assert_eq!(short(&url[2]), "${HttpApi.ApiEndpoint}/${StageName}");
    let throttle = &stage["DefaultRouteSettings"];
    assert_eq!(short(&throttle["ThrottlingRateLimit"]), "ThrottleRate");
    assert_eq!(short(&throttle["ThrottlingBurstLimit"]), "ThrottleBurst");
}

#[test]
fn the_access_log_names_neither_caller_nor_operation() {
    let format = &properties("HttpApiStage")["AccessLogSettings"]["Format"];
    let mut logged: Vec<&str> = format
        .as_str()
        .unwrap()
        .split('"')
        .filter_map(|word| word.strip_prefix("$context."))
        .collect();
    logged.sort_unstable();
    let harmless = [
        "integrationErrorMessage",
        "integrationLatency",
        "requestId",
        "responseLatency",
        "routeKey",
        "status",
    ];
    assert_eq!(logged, harmless);
}

#[test]
fn a_function_url_exists_only_when_it_is_asked_for_and_is_public_only_without_iam() {
    for (name, condition) in [
        ("FunctionUrl", "HasFunctionUrl"),
        ("FunctionUrlPermission", "HasPublicFunctionUrl"),
        ("FunctionUrlInvokePermission", "HasPublicFunctionUrl"),
    ] {
        let resource = &template()["Resources"][name];
        assert_eq!(resource["Condition"], condition, "{name}");
    }
    let condition = &template()["Conditions"]["HasPublicFunctionUrl"];
    let without_iam = json!({ "Fn::Equals": [{ "Ref": "FunctionUrlAuth" }, "NONE"] });
    let both = json!({ "Fn::And": [{ "Condition": "HasFunctionUrl" }, without_iam] });
    assert_eq!(condition, &both);
    assert_eq!(
        short(&properties("FunctionUrl")["AuthType"]),
        "FunctionUrlAuth"
    );
    let values = &parameter("FunctionUrlAuth")["AllowedValues"];
    assert_eq!(values, &json!(["NONE", "AWS_IAM"]));
    assert_eq!(parameter("WithFunctionUrl")["Default"], "false");
    assert_eq!(parameter("OnMiniStack")["Default"], "false");
}

#[test]
fn a_function_url_without_a_cap_is_refused() {
    let rule = &template()["Rules"]["FunctionUrlIsCapped"];
    let asked_for = json!({ "Fn::Equals": [{ "Ref": "WithFunctionUrl" }, "true"] });
    assert_eq!(rule["RuleCondition"], asked_for);
    let is_capped = &template()["Conditions"]["HasStartReservedConcurrency"];
    assert_eq!(&rule["Assertions"][0]["Assert"], is_capped);
    let told = short(&rule["Assertions"][0]["AssertDescription"]);
    assert!(told.contains("WithFunctionUrl"), "{told}");
    assert!(told.contains("StartReservedConcurrency"), "{told}");
}
