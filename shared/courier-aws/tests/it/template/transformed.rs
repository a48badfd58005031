//! The template as CloudFormation gets it: after the SAM transform, which runs on this machine.

use std::process::Command;
use std::sync::OnceLock;

use cloud_testkit::python;
use serde_json::Value;

use crate::binaries::root;

/// The transform takes code from S3 only.
const TRANSFORM: &str = "\
import json, sys
import boto3
from samcli.yamlhelper import yaml_parse
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
template = yaml_parse(open(sys.argv[1]).read())
for resource in template['Resources'].values():
    if resource['Type'] == 'AWS::Serverless::Function':
        resource['Properties']['CodeUri'] = 's3://code/function.zip'
defaults = {name: parameter.get('Default', '') for name, parameter in template['Parameters'].items()}
session = boto3.Session(region_name='us-east-1')
print(json.dumps(Translator({}, Parser(), boto_session=session).translate(template, defaults)))
";

pub(super) const FUNCTIONS: [&str; 4] = [
    "StartOperation",
    "PollOperation",
    "SweepOperations",
    "AcceptRequest",
];

/// The whole template; made once.
pub(super) fn template() -> &'static Value {
    static TEMPLATE: OnceLock<Value> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let bin = python::environment("sam", &root().join("infra/requirements/sam.txt"));
        let output = Command::new(bin.join("python3"))
            .args(["-c", TRANSFORM])
            .arg(root().join("infra/template.yaml"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        serde_json::from_slice(&output.stdout).unwrap()
    })
}

/// What a resource is made with.
pub(super) fn properties(name: &str) -> &'static Value {
    let properties = &template()["Resources"][name]["Properties"];
    assert!(properties.is_object(), "the template has no {name}");
    properties
}

/// The resources of a type, with their names.
pub(super) fn resources(kind: &str) -> Vec<(&'static str, &'static Value)> {
    let all = template()["Resources"].as_object().unwrap();
    all.iter()
        .filter(|(_, resource)| resource["Type"] == kind)
        .map(|(name, resource)| (name.as_str(), resource))
        .collect()
}

/// The names of the members of an object.
pub(super) fn names(object: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names
}

/// A value in short: `Table.Arn` for what a resource is asked for, `Table` for a reference, the text of a `Fn::Sub`.
pub(super) fn short(value: &Value) -> String {
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    let parts = value["Fn::GetAtt"].as_array().map(|parts| {
        let parts: Vec<&str> = parts.iter().filter_map(Value::as_str).collect();
        parts.join(".")
    });
    parts
        .or_else(|| text(&value["Ref"]))
        .or_else(|| text(&value["Fn::Sub"]))
        .or_else(|| text(value))
        .unwrap_or_else(|| value.to_string())
}
