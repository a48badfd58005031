//! What each function may do: exactly what its code calls, on this stack's resources. And what Graph must permit.

use std::collections::BTreeSet;

use courier_core::catalogue::Catalogue;
use serde_json::Value;

use super::transformed::{FUNCTIONS, properties, resources, short};
use crate::binaries::root;

/// For all. A name in front is the condition of a permission.
const ALL: &[&str] = &[
    "HasConfigParameter: ssm:GetParameter ConfigParameterArn",
    "HasEventBus: events:PutEvents EventBusArn",
    "HasSecretsKmsKey: kms:Decrypt SecretsKmsKeyArn",
    "kms:Decrypt Key.Arn",
    "kms:DescribeKey Key.Arn",
    "kms:Encrypt Key.Arn",
    "kms:GenerateDataKey Key.Arn",
    "kms:ReEncryptFrom Key.Arn",
    "kms:ReEncryptTo Key.Arn",
    "secretsmanager:GetSecretValue SecretArns",
    "dynamodb:BatchGetItem Table.Arn",
    "dynamodb:GetItem Table.Arn",
    "dynamodb:PutItem Table.Arn",
    "sqs:SendMessage Queue.Arn",
];
const START: &[&str] = &[
    "dynamodb:Query ${Table.Arn}/index/by-client",
    "dynamodb:Query ${Table.Arn}/index/by-open",
    "logs:CreateLogStream StartLogGroup.Arn",
    "logs:PutLogEvents StartLogGroup.Arn",
];
const POLL: &[&str] = &[
    "dynamodb:Query ${Table.Arn}/index/by-client",
    "IsOnMiniStack: sqs:ChangeMessageVisibilityBatch Queue.Arn",
    "sqs:ChangeMessageVisibility Queue.Arn",
    "sqs:DeleteMessage Queue.Arn",
    "sqs:GetQueueAttributes Queue.Arn",
    "sqs:ReceiveMessage Queue.Arn",
    "sqs:GetQueueUrl DeadLetterQueue.Arn",
    "sqs:SendMessage DeadLetterQueue.Arn",
    "logs:CreateLogStream PollLogGroup.Arn",
    "logs:PutLogEvents PollLogGroup.Arn",
];
const SWEEP: &[&str] = &[
    "dynamodb:Query ${Table.Arn}/index/by-client",
    "dynamodb:Query ${Table.Arn}/index/by-due",
    "dynamodb:UpdateItem Table.Arn",
    "sqs:GetQueueAttributes Queue.Arn",
    "logs:CreateLogStream SweepLogGroup.Arn",
    "logs:PutLogEvents SweepLogGroup.Arn",
];

const ACCEPT: &[&str] = &[
    "dynamodb:Query ${Table.Arn}/index/by-client",
    "dynamodb:Query ${Table.Arn}/index/by-open",
    "sqs:ChangeMessageVisibility IntakeQueue.Arn",
    "sqs:DeleteMessage IntakeQueue.Arn",
    "sqs:GetQueueAttributes IntakeQueue.Arn",
    "sqs:GetQueueUrl IntakeQueue.Arn",
    "sqs:ReceiveMessage IntakeQueue.Arn",
    "sqs:GetQueueUrl IntakeDeadLetterQueue.Arn",
    "sqs:SendMessage IntakeDeadLetterQueue.Arn",
    "logs:CreateLogStream AcceptLogGroup.Arn",
    "logs:PutLogEvents AcceptLogGroup.Arn",
];

/// A list, or the one thing that stands for it.
fn list(value: &Value) -> Vec<&Value> {
    value
        .as_array()
        .map_or_else(|| vec![value], |values| values.iter().collect())
}

/// Every action and resource of a policy.
fn permissions(document: &Value, condition: Option<&str>) -> Vec<String> {
    let mut permissions = Vec::new();
    for statement in list(&document["Statement"]) {
        if statement["Effect"] == "Deny" {
            continue;
        }
        assert_eq!(statement["Effect"], "Allow", "{statement}");
        for action in list(&statement["Action"]) {
            for resource in list(&statement["Resource"]) {
                let (action, resource) = (short(action), short(resource));
                let condition = condition.map_or_else(String::new, |name| format!("{name}: "));
                permissions.push(format!("{condition}{action} {resource}"));
            }
        }
    }
    permissions
}

/// Every action that a policy denies.
fn denied(document: &Value) -> BTreeSet<String> {
    let statements = list(&document["Statement"]).into_iter();
    let denials = statements.filter(|statement| statement["Effect"] == "Deny");
    denials
        .flat_map(|statement| list(&statement["Action"]))
        .map(short)
        .collect()
}

/// What `role` may do, by its own policies and those that name it.
fn of_role(role: &str) -> BTreeSet<String> {
    let own = &properties(role)["Policies"];
    let own = list(own)
        .into_iter()
        .flat_map(|policy| permissions(&policy["PolicyDocument"], None));
    let others = resources("AWS::IAM::Policy").into_iter();
    let others = others.flat_map(|(_, policy)| {
        let named = &policy["Properties"]["Roles"];
        let mut named = list(named).into_iter();
        // A role that there may not be is named by a condition.
        let named = named.any(|name| short(name) == role || short(&name["Fn::If"][1]) == role);
        let document = &policy["Properties"]["PolicyDocument"];
        let found = permissions(document, policy["Condition"].as_str());
        if named { found } else { Vec::new() }
    });
    own.chain(others).collect()
}

#[test]
fn each_function_may_do_exactly_what_it_does() {
    for (role, particular) in [
        ("StartRole", START),
        ("PollRole", POLL),
        ("SweepRole", SWEEP),
        ("AcceptRole", ACCEPT),
    ] {
        let expected = ALL.iter().chain(particular).map(ToString::to_string);
        let expected: BTreeSet<String> = expected.collect();
        let found = of_role(role);
        let missing: Vec<_> = expected.difference(&found).collect();
        let excess: Vec<_> = found.difference(&expected).collect();
        assert!(
            missing.is_empty() && excess.is_empty(),
            "{role}: missing {missing:?}, excess {excess:?}"
        );
    }
}

#[test]
fn each_function_has_a_role_of_its_own_without_wildcards_or_managed_policies() {
    for (function, role) in [
        ("StartOperation", "StartRole.Arn"),
        ("PollOperation", "PollRole.Arn"),
        ("SweepOperations", "SweepRole.Arn"),
        ("AcceptRequest", "AcceptRole.Arn"),
    ] {
        let function = properties(function);
        assert_eq!(short(&function["Role"]), role);
    }
    let roles = resources("AWS::IAM::Role");
    assert_eq!(roles.len(), 4);
    for (name, role) in roles {
        let properties = &role["Properties"];
        // The managed policy lets Lambda make network interfaces in a VPC.
        let managed = &properties["ManagedPolicyArns"]["Fn::If"];
        assert_eq!(managed[0], "HasVpc", "{name}");
        let arn = "arn:${AWS::Partition}:iam::aws:policy/service-role/AWSLambdaENIManagementAccess";
        assert_eq!(list(&managed[1]).len(), 1, "{name}");
        assert_eq!(short(&managed[1][0]), arn, "{name}");
        let bounded = &properties["PermissionsBoundary"]["Fn::If"];
        assert_eq!(bounded[0], "HasPermissionsBoundary", "{name}");
        assert_eq!(short(&bounded[1]), "PermissionsBoundaryArn", "{name}");
        for permission in of_role(name) {
            assert!(!permission.contains('*'), "{name}: {permission}");
        }
    }
    assert!(resources("AWS::IAM::ManagedPolicy").is_empty());
}

#[test]
fn in_a_vpc_lambda_makes_the_network_interfaces_and_the_functions_may_not() {
    let policy = properties("NetworkInterfacesPolicy");
    assert_eq!(
        list(&policy["Roles"]).len(),
        resources("AWS::IAM::Role").len()
    );
    // What the managed policy AWSLambdaENIManagementAccess allows.
    let allowed = [
        "ec2:AssignPrivateIpAddresses",
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:UnassignPrivateIpAddresses",
    ];
    let allowed: BTreeSet<String> = allowed.map(str::to_owned).into();
    assert_eq!(denied(&policy["PolicyDocument"]), allowed);
    let condition = &policy["PolicyDocument"]["Statement"][0]["Condition"]["ArnLike"];
    let functions = "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:${AWS::StackName}-*";
    assert_eq!(short(&condition["lambda:SourceFunctionArn"]), functions);
    for function in FUNCTIONS {
        let vpc = &properties(function)["VpcConfig"]["Fn::If"];
        assert_eq!(vpc[0], "HasVpc", "{function}");
        assert_eq!(short(&vpc[1]["SubnetIds"]), "SubnetIds", "{function}");
    }
}

#[test]
fn the_readme_of_the_template_lists_what_graph_must_permit() {
    let readme = std::fs::read_to_string(root().join("infra/README.md")).unwrap();
    let listed: BTreeSet<&str> = readme
        .lines()
        .skip_while(|line| !line.starts_with("| operation |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    let catalogue = Catalogue::shipped();
    let rows: Vec<String> = catalogue
        .iter()
        .map(|operation| {
            let kind = operation.default_token();
            let permissions = operation.permissions_of(kind).join("`, `");
            format!(
                "| `{}` | `{permissions}` | {} |",
                operation.name,
                kind.as_str()
            )
        })
        .collect();
    let expected: BTreeSet<&str> = rows.iter().map(String::as_str).collect();
    assert_eq!(listed, expected);
}
