//! Table, queues and key: what is kept, how, and that the other tests use the same.

use std::collections::BTreeSet;

use cloud_testkit::ministack::MiniStack;
use serde_json::{Value, json};

use super::transformed::{FUNCTIONS, properties, resources, short, template};

/// In any order.
fn set(values: &Value) -> BTreeSet<String> {
    let values = values.as_array().unwrap().iter();
    values.map(Value::to_string).collect()
}

/// Name → keys and projection, as `AWS::DynamoDB::Table` and `DescribeTable` both write them.
fn indexes(table: &Value) -> BTreeSet<String> {
    let indexes = table["GlobalSecondaryIndexes"].as_array().unwrap().iter();
    let parts = indexes.map(|index| {
        let projection = &index["Projection"];
        let included = &projection["NonKeyAttributes"];
        let included = included.as_array().map(|_| set(included));
        json!([
            index["IndexName"],
            index["KeySchema"],
            projection["ProjectionType"],
            included
        ])
        .to_string()
    });
    parts.collect()
}

#[test]
fn the_table_has_the_keys_and_indexes_that_the_store_reads() {
    let table = properties("Table");
    let key = |name: &str, kind: &str| json!({ "AttributeName": name, "KeyType": kind });
    assert_eq!(table["KeySchema"], json!([key("pk", "HASH")]));
    let wanted = json!({ "GlobalSecondaryIndexes": [
        {
            "IndexName": "by-due",
            "KeySchema": [key("shard", "HASH"), key("due", "RANGE")],
            "Projection": { "ProjectionType": "KEYS_ONLY" },
        },
        {
            "IndexName": "by-client",
            "KeySchema": [key("client", "HASH"), key("listed", "RANGE")],
            "Projection": {
                "ProjectionType": "INCLUDE",
                "NonKeyAttributes": ["status", "operation", "reference"],
            },
        },
        {
            "IndexName": "by-open",
            "KeySchema": [key("open_client", "HASH")],
            "Projection": { "ProjectionType": "KEYS_ONLY" },
        },
    ] });
    assert_eq!(indexes(table), indexes(&wanted));
    let expires = json!({ "AttributeName": "expires", "Enabled": true });
    assert_eq!(table["TimeToLiveSpecification"], expires);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_tests_use_this_table_and_these_queues() {
    let ministack = MiniStack::start().await;
    ministack.create_courier_table("courier").await;
    let request = json!({ "TableName": "courier" });
    let described = ministack.call("DynamoDB_20120810.DescribeTable", &request);
    let described = &described.await.unwrap()["Table"];
    let table = properties("Table");
    assert_eq!(described["KeySchema"], table["KeySchema"]);
    assert_eq!(indexes(described), indexes(table));
    let attributes = |table: &Value| set(&table["AttributeDefinitions"]);
    assert_eq!(attributes(described), attributes(table));

    let (queue, dead) = ministack.create_courier_queue("courier").await;
    for (url, name) in [(&queue, "Queue"), (&dead, "DeadLetterQueue")] {
        let made = ministack.queue_attributes(url).await;
        let wanted = properties(name);
        let retention = &wanted["MessageRetentionPeriod"];
        assert_eq!(made["MessageRetentionPeriod"], retention.to_string());
        if name == "Queue" {
            let visibility = &wanted["VisibilityTimeout"];
            assert_eq!(made["VisibilityTimeout"], visibility.to_string());
            let redrive: Value =
                serde_json::from_str(made["RedrivePolicy"].as_str().unwrap()).unwrap();
            let receives = &wanted["RedrivePolicy"]["maxReceiveCount"];
            assert_eq!(redrive["maxReceiveCount"].to_string(), receives.to_string());
        }
    }
}

#[test]
fn everything_that_is_kept_is_encrypted_with_the_stacks_own_key() {
    let encryption = &properties("Table")["SSESpecification"];
    assert_eq!(encryption["SSEEnabled"], true);
    assert_eq!(encryption["SSEType"], "KMS");
    assert_eq!(short(&encryption["KMSMasterKeyId"]), "Key.Arn");
    for (name, queue) in resources("AWS::SQS::Queue") {
        let key = &queue["Properties"]["KmsMasterKeyId"];
        assert_eq!(short(key), "Key.Arn", "{name}");
    }
    for name in FUNCTIONS {
        let function = properties(name);
        assert_eq!(short(&function["KmsKeyArn"]), "Key.Arn", "{name}");
        let group = short(&function["LoggingConfig"]["LogGroup"]);
        assert_eq!(
            template()["Resources"][&group]["Type"],
            "AWS::Logs::LogGroup"
        );
    }
    let groups = resources("AWS::Logs::LogGroup");
    assert_eq!(groups.len(), 5);
    for (name, group) in groups {
        let group = &group["Properties"];
        assert_eq!(short(&group["KmsKeyId"]), "Key.Arn", "{name}");
        assert_eq!(short(&group["RetentionInDays"]), "LogRetentionDays");
    }
    assert_eq!(properties("Key")["EnableKeyRotation"], true);
}

#[test]
fn the_key_lets_in_the_logs_of_this_stack_only() {
    let statements = &properties("Key")["KeyPolicy"]["Statement"];
    let condition = &statements[1]["Condition"]["ArnLike"];
    let arns = condition["kms:EncryptionContext:aws:logs:arn"].as_array();
    let arns: BTreeSet<String> = arns.unwrap().iter().map(short).collect();
    let groups = resources("AWS::Logs::LogGroup").into_iter();
    let groups = groups.map(|(_, group)| {
        let name = group["Properties"]["LogGroupName"]["Fn::Sub"][0].as_str();
        // Stacks made before the id was in the name have logs without it.
        let name = name.unwrap().replace("/${Id}", "*");
        format!(
            "arn:${{AWS::Partition}}:logs:${{AWS::Region}}:${{AWS::AccountId}}:log-group:{name}"
        )
    });
    assert_eq!(arns, groups.collect());
}

/// A retained group would be in the way of a new stack of the same name, if that gave it the same name.
#[test]
fn the_logs_outlive_the_stack_under_a_name_that_no_other_stack_has() {
    let id_of_the_stack = json!({
        "Fn::Select": [2, { "Fn::Split": ["/", { "Ref": "AWS::StackId" }] }]
    });
    for (name, group) in resources("AWS::Logs::LogGroup") {
        assert_eq!(group["DeletionPolicy"], "RetainExceptOnCreate", "{name}");
        assert_eq!(group["UpdateReplacePolicy"], "Retain", "{name}");
        let sub = &group["Properties"]["LogGroupName"]["Fn::Sub"];
        assert!(sub[0].as_str().unwrap().ends_with("/${Id}"), "{name}");
        assert_eq!(sub[1]["Id"], id_of_the_stack, "{name}");
        let output = &template()["Outputs"][name]["Value"];
        assert_eq!(short(output), name);
    }
}

#[test]
fn the_table_outlives_mistakes_and_the_stack() {
    let backups = &properties("Table")["PointInTimeRecoverySpecification"];
    assert_eq!(backups["PointInTimeRecoveryEnabled"], true);
    let protection = &properties("Table")["DeletionProtectionEnabled"];
    assert_eq!(short(protection), "TableDeletionProtection");
    let default = &template()["Parameters"]["TableDeletionProtection"]["Default"];
    assert_eq!(default, "true");
    // Without its key the table cannot be read.
    for name in ["Table", "Key"] {
        let resource = &template()["Resources"][name];
        assert_eq!(resource["DeletionPolicy"], "RetainExceptOnCreate", "{name}");
        assert_eq!(resource["UpdateReplacePolicy"], "Retain", "{name}");
    }
}
