//! DynamoDB, Secrets Manager and SSM, as a test sees them: directly at MiniStack, past the proxy.

use serde_json::{Value, json};

use crate::ministack::MiniStack;

impl MiniStack {
    /// Creates a table from a `CreateTable` request.
    pub async fn create_table(&self, description: &Value) {
        self.must("DynamoDB_20120810.CreateTable", description)
            .await;
    }

    /// Our table, as deployed.
    pub async fn create_courier_table(&self, name: &str) {
        let attribute = |name: &str| json!({ "AttributeName": name, "AttributeType": "S" });
        let key = |name: &str, kind: &str| json!({ "AttributeName": name, "KeyType": kind });
        let attributes = ["pk", "shard", "due", "client", "listed", "open_client"].map(attribute);
        let description = json!({
            "TableName": name,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": attributes,
            "KeySchema": [key("pk", "HASH")],
            "GlobalSecondaryIndexes": [
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
            ],
        });
        self.create_table(&description).await;
    }

    /// Every item of a table, in DynamoDB's JSON.
    pub async fn items(&self, table: &str) -> Vec<Value> {
        let (mut items, mut start) = (Vec::new(), Value::Null);
        loop {
            let mut body = json!({ "TableName": table, "ConsistentRead": true });
            if !start.is_null() {
                body["ExclusiveStartKey"] = start;
            }
            let mut page = self.must("DynamoDB_20120810.Scan", &body).await;
            items.extend(page["Items"].as_array().cloned().unwrap_or_default());
            start = page["LastEvaluatedKey"].take();
            if start.is_null() {
                return items;
            }
        }
    }

    /// Creates a secret; its ARN.
    pub async fn put_secret(&self, name: &str, value: &str) -> String {
        let body = json!({
            "Name": name,
            "SecretString": value,
            "ClientRequestToken": uuid::Uuid::new_v4().to_string(),
        });
        let answer = self.must("secretsmanager.CreateSecret", &body).await;
        let arn = answer["ARN"].as_str();
        arn.unwrap_or_else(|| panic!("no ARN in {answer}"))
            .to_owned()
    }

    /// Writes a SecureString.
    pub async fn put_parameter(&self, name: &str, value: &str) {
        let body = json!({
            "Name": name,
            "Value": value,
            "Type": "SecureString",
            "Overwrite": true,
        });
        self.must("AmazonSSM.PutParameter", &body).await;
    }
}
