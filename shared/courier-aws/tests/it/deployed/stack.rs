//! The stack that `sam build` and `sam deploy` make on MiniStack, with Graph and a receiver beside it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use cloud_testkit::clock::ShiftedClock;
use cloud_testkit::ministack::{MiniStack, Setup};
use cloud_testkit::{REGION, python};
use courier_testkit::invariants;
use courier_testkit::receiver::Receiver;
use courier_testkit::tenants::{CONFIG, GRAPH_SECRET, REFRESH_TOKEN, TICKETS_KEY};
use graph_simulator::{Options, Simulator};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{interval, timeout};

use super::commands::{ARCHITECTURE, build, command, deployment, run};
use crate::binaries::{path_with, root};
use crate::cloud::{is_closed, secrets};

const NAME: &str = "courier";
/// The client whose requests come in the intake queue of the stack.
const INTAKE_CLIENT: &str = "[clients.bus]\ntenant = \"contoso\"\nsource = \"sqs:courier-intake\"\n\
    operations = [\"team.schedule\"]\n[seal]";
/// What one wait may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(100);
const OUTPUTS: &str = "\
import boto3, json, sys
stack = boto3.client('cloudformation').describe_stacks(StackName=sys.argv[1])['Stacks'][0]
print(json.dumps({output['OutputKey']: output['OutputValue'] for output in stack['Outputs']}))
";
const SETTINGS: &str = "\
import boto3, json, sys
print(json.dumps(boto3.client('lambda').get_function_configuration(FunctionName=sys.argv[1]), default=str))
";
/// Reads the policy of the start role, or writes it.
const START_POLICY: &str = "\
import boto3, json, sys
resource = boto3.client('cloudformation').describe_stack_resource(StackName=sys.argv[1], LogicalResourceId='StartRole')
role = {'RoleName': resource['StackResourceDetail']['PhysicalResourceId'], 'PolicyName': 'start-operation'}
iam = boto3.client('iam')
if sys.argv[2:]:
    iam.put_role_policy(**role, PolicyDocument=sys.argv[2])
print(json.dumps(iam.get_role_policy(**role)['PolicyDocument']))
";

/// The two ways in.
#[derive(Debug, Clone, Copy)]
pub(super) enum Door {
    HttpApi,
    FunctionUrl,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The media type.
    pub(super) kind: String,
    pub(super) body: Value,
}

pub(super) struct Stack {
    pub(super) clock: ShiftedClock,
    pub(super) ministack: MiniStack,
    pub(super) simulator: Simulator,
    pub(super) receiver: Receiver,
    http: reqwest::Client,
    built: PathBuf,
    parameters: Vec<String>,
    outputs: Value,
}

impl Stack {
    pub(super) async fn deploy() -> Self {
        let built = build();
        let clock = ShiftedClock::new();
        let word = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let setup = Setup {
            variables: vec![
                word("AUTH", "true"),
                word("MINISTACK_HOST", "127.0.0.1"),
                word("AWS_ACCESS_KEY_ID", "test"),
                word("AWS_SECRET_ACCESS_KEY", "test"),
            ],
            clock: Some(clock.clone()),
        };
        let ministack = MiniStack::start_with(setup).await;
        let simulator = graph(&clock).await;
        let receiver = Receiver::start(clock.function()).await.unwrap();
        let arn = ministack
            .put_secret("courier/secrets", &secrets().to_string())
            .await;
        let text = CONFIG
            .replace("[seal]", INTAKE_CLIENT)
            .replace("{graph}", &simulator.base_url())
            .replace("{receiver}", &receiver.origin())
            .replace("env:", &format!("aws-secret:{arn}#"));
        let config = ministack.put_secret("courier/config", &text).await;
        let parameters = vec![
            format!("CourierConfig=aws-secret:{config}"),
            format!("SecretArns={config},{arn}"),
            format!("Architecture={ARCHITECTURE}"),
            "WithFunctionUrl=true".to_owned(),
            "WithIntake=true".to_owned(),
            "StartReservedConcurrency=20".to_owned(),
            "OnMiniStack=true".to_owned(),
        ];
        run(&mut deployment(ministack.url(), NAME, &built, &parameters));
        let mut stack = Self {
            clock,
            ministack,
            simulator,
            receiver,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            built,
            parameters,
            outputs: Value::Null,
        };
        stack.outputs = stack.python(OUTPUTS, &[NAME]);
        stack
    }

    /// What is said when a second stack with another value of this parameter is refused.
    pub(super) fn refused(&self, parameter: &str, value: &str) -> String {
        let mut parameters = self.parameters.clone();
        parameters.retain(|one| !one.starts_with(&format!("{parameter}=")));
        parameters.push(format!("{parameter}={value}"));
        let url = self.ministack.url();
        let output = deployment(url, "courier-refused", &self.built, &parameters).output();
        let output = output.unwrap();
        assert!(!output.status.success(), "{parameter}={value} was accepted");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    /// Replaces the code of a function as the README of the template says, by the name of the output that names it.
    pub(super) fn replace_code(&self, function: &str, binary: &Path) {
        let mut cargo = Command::new("cargo-lambda");
        cargo
            .args(["lambda", "deploy", "--binary-path"])
            .arg(binary)
            .arg(self.output(function))
            .env("PATH", path_with(&["cargo-lambda"]))
            .env("AWS_ENDPOINT_URL", self.ministack.url())
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_DEFAULT_REGION", REGION)
            .current_dir(root());
        run(&mut cargo);
    }

    /// The settings of a function, by the name of the output that names it.
    pub(super) fn settings(&self, function: &str) -> Value {
        self.python(SETTINGS, &[self.output(function)])
    }

    /// An output of the template.
    pub(super) fn output(&self, name: &str) -> &str {
        let output = self.outputs[name].as_str();
        output.unwrap_or_else(|| panic!("no {name} in {}", self.outputs))
    }

    pub(super) async fn get(&self, door: Door, path: &str, key: Option<&str>) -> Answer {
        let mut request = self.request(reqwest::Method::GET, door, path);
        if let Some(key) = key {
            request = request.header("x-api-key", key);
        }
        answer(request).await
    }

    /// A request of the tickets client with an idempotency key.
    pub(super) async fn post(&self, door: Door, key: &str, body: &Value) -> Answer {
        let request = self
            .request(reqwest::Method::POST, door, "/v1/operations")
            .header("x-api-key", TICKETS_KEY)
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .body(body.to_string());
        answer(request).await
    }

    fn request(&self, method: reqwest::Method, door: Door, path: &str) -> reqwest::RequestBuilder {
        let url = self.ministack.url();
        match door {
            Door::HttpApi => {
                let api = host(self.output("ApiUrl")).split('.').next();
                let api = api.unwrap_or_default();
                let url = format!("{url}/_aws/execute-api/{api}/$default{path}");
                self.http.request(method, url)
            }
            Door::FunctionUrl => {
                let request = self.http.request(method, format!("{url}{path}"));
                request.header("host", host(self.output("FunctionUrl")))
            }
        }
    }

    /// Asks until the operation has ended and nothing more is owed to its receiver.
    pub(super) async fn closed(&self, id: &str) -> Value {
        let path = format!("/v1/operations/{id}");
        let mut operation = Value::Null;
        self.eventually("an operation never came to an end", async || {
            let answer = self.get(Door::HttpApi, &path, Some(TICKETS_KEY)).await;
            operation = answer.body;
            is_closed(&operation)
        })
        .await;
        operation
    }

    pub(super) async fn eventually(&self, complaint: &str, mut there: impl AsyncFnMut() -> bool) {
        let mut ticks = interval(TICK);
        let wait = timeout(PATIENCE, async {
            while !there().await {
                ticks.tick().await;
            }
        });
        let output = || self.ministack.output();
        wait.await
            .unwrap_or_else(|_| panic!("{complaint}:\n{}", output()));
    }

    /// Invokes a function by the name of the output that names it.
    pub(super) async fn invoke(&self, function: &str, event: String) -> Value {
        let (url, name) = (self.ministack.url(), self.output(function));
        let credential = format!("Credential=test/20261121/{REGION}/lambda/aws4_request");
        let authorization =
            format!("AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=x");
        let request = self
            .http
            .post(format!("{url}/2015-03-31/functions/{name}/invocations"))
            .header("authorization", authorization)
            .body(event);
        let answer = answer(request).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// The lines of a function's log, by the name of the output that names its group.
    pub(super) async fn log(&self, group: &str) -> Vec<String> {
        let mut lines = Vec::new();
        let mut request = json!({ "logGroupName": self.output(group) });
        loop {
            let page = self
                .ministack
                .call("Logs_20140328.FilterLogEvents", &request)
                .await;
            let mut page = page.unwrap();
            let events = page["events"].as_array().unwrap().iter();
            lines.extend(events.map(|event| event["message"].as_str().unwrap().to_owned()));
            request["nextToken"] = page["nextToken"].take();
            if request["nextToken"].is_null() {
                return lines;
            }
        }
    }

    /// What the start role's own policy says.
    pub(super) fn start_policy(&self) -> Value {
        self.python(START_POLICY, &[NAME])
    }

    pub(super) fn put_start_policy(&self, policy: &Value) {
        let written = self.python(START_POLICY, &[NAME, &policy.to_string()]);
        assert_eq!(written, *policy);
    }

    /// What a script with boto3 says as JSON.
    fn python(&self, script: &str, arguments: &[&str]) -> Value {
        let bin = python::ministack();
        let python = bin.join("python3");
        let mut command = command(&[], python.to_str().unwrap(), self.ministack.url());
        let said = run(command.args(["-c", script]).args(arguments));
        serde_json::from_str(&said).unwrap()
    }

    /// Holds the journals of Graph and of the receiver against the invariants.
    pub(super) fn check(&self) {
        invariants::check(
            &self.simulator.journal(),
            &self.simulator.jobs(),
            &self.receiver.journal(),
        );
    }
}

/// Graph whose jobs take a second or two.
async fn graph(clock: &ShiftedClock) -> Simulator {
    let mut options = Options::new(clock.function());
    options.client_secret = Some(GRAPH_SECRET.to_owned());
    options.refresh_token = Some(REFRESH_TOKEN.to_owned());
    options.durations.export_seconds = 2.0;
    options.durations.goals_seconds = 1.5;
    options.durations.schedule_seconds = 1.0;
    let behaviour = &mut options.behaviour;
    let second = || Some("1".to_owned());
    behaviour.export.retry_after_start = second();
    behaviour.export.retry_after_poll = second();
    behaviour.goals.retry_after_start = second();
    behaviour.goals.retry_after_poll = second();
    behaviour.schedule.retry_after_start = second();
    behaviour.schedule.retry_after_poll = second();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Simulator::start(listener, options).await.unwrap()
}

fn host(url: &str) -> &str {
    let rest = url.split("//").nth(1).unwrap_or_default();
    rest.split('/').next().unwrap_or_default()
}

async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let kind = answer.headers().get("content-type");
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.to_owned();
    let body = answer.bytes().await.unwrap();
    Answer {
        status,
        kind,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    }
}
