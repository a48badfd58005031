"""Deploys infra/examples on MiniStack, plays the systems around them, and writes what reached whom as JSON."""

import json, re, sys, threading, time
from http.server import BaseHTTPRequestHandler, HTTPServer
import boto3

url, examples = sys.argv[1:]
PERSON = "6e7b768e-07e2-4810-8459-485f84f8f204"
APPROVED = {"person": PERSON, "ticket": 'RITM"1', "receivedAt": "2026-01-31T09:12:00+01:00"}

def client(service):
    return boto3.client(service, endpoint_url=url, region_name="us-east-1",
                        aws_access_key_id="test", aws_secret_access_key="test")

cloudformation, events, sqs, states = map(client, ("cloudformation", "events", "sqs", "stepfunctions"))

def eventually(look):
    """Returns what `look` returns as soon as it is something."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if (found := look()):
            return found
        time.sleep(0.05)
    raise TimeoutError(look)

def deploy(name, template, **parameters):
    """Returns the outputs of a new stack."""
    given = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
    cloudformation.create_stack(StackName=name, TemplateBody=template, Parameters=given, Capabilities=["CAPABILITY_IAM"])
    stack = eventually(lambda: next((stack for stack in cloudformation.describe_stacks(StackName=name)["Stacks"]
                                     if not stack["StackStatus"].endswith("_IN_PROGRESS")), None))
    assert stack["StackStatus"] == "CREATE_COMPLETE", stack
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

def read(path):
    with open(f"{examples}/{path}") as file:
        return file.read()

def tell(bus, source, kind, detail):
    entry = {"EventBusName": bus, "Source": source, "DetailType": kind, "Detail": json.dumps(detail)}
    assert events.put_events(Entries=[entry])["FailedEntryCount"] == 0

def take(queue):
    """Returns the next message, parsed."""
    message = eventually(lambda: sqs.receive_message(QueueUrl=queue).get("Messages"))[0]
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return json.loads(message["Body"])

def ended(execution):
    return eventually(lambda: next((found for found in [states.describe_execution(executionArn=execution)]
                                    if found["status"] != "RUNNING"), None))

intake = sqs.create_queue(QueueName="intake")["QueueUrl"]
arn = sqs.get_queue_attributes(QueueUrl=intake, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
bus = events.create_event_bus(Name="courier")["EventBusArn"]
events.create_event_bus(Name="contoso")
seen = {}

# A request by event, over the queue. Each of the first events lacks something: whatever it became would be read first.
deploy("by-queue", read("request-by-event/queue.yaml"), BusName="contoso", IntakeQueueArn=arn)
for missing in APPROVED:
    rest = {name: value for name, value in APPROVED.items() if name != missing}
    tell("contoso", "com.contoso.privacy", "Export Approved", rest)
tell("contoso", "com.contoso.privacy", "Export Approved", APPROVED)
seen["queued"] = take(intake)

# The same over HTTPS. MiniStack's EventBridge has API destinations and connections, its CloudFormation has not: these two
# are made by the API, and the address is that of the server below, which has no TLS.
class Courier(BaseHTTPRequestHandler):
    def do_POST(self):
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = json.loads(self.rfile.read(int(headers["content-length"])))
        seen["posted"] = {"path": self.path, "headers": headers, "body": body}
        self.send_response(202)
        self.end_headers()

    def log_message(self, *_):
        pass

server = HTTPServer(("127.0.0.1", 0), Courier)
threading.Thread(target=server.serve_forever, daemon=True).start()
key = {"ApiKeyAuthParameters": {"ApiKeyName": "X-Api-Key", "ApiKeyValue": "key-of-the-client"}}
connection = events.create_connection(Name="courier", AuthorizationType="API_KEY", AuthParameters=key)["ConnectionArn"]
destination = events.create_api_destination(
    Name="courier", ConnectionArn=connection, HttpMethod="POST",
    InvocationEndpoint=f"http://127.0.0.1:{server.server_port}/v1/operations")["ApiDestinationArn"]
template = re.sub(r"(?m)^  (Connection|Courier):\n(    .*\n|\n)+", "", read("request-by-event/api-destination.yaml"))
template = template.replace("!GetAtt Courier.Arn", json.dumps(destination))
events.create_event_bus(Name="contoso-2")
deploy("by-http", template, BusName="contoso-2", CourierUrl="https://courier.example", CourierKeySecretArn="unused")
tell("contoso-2", "com.contoso.privacy", "Export Approved", APPROVED)
eventually(lambda: "posted" in seen)

# The end of an operation reaches a queue and a state machine, a refusal only people, and another client's end nobody.
targets = deploy("targets", read("completion-to-target/template.yaml"), EventBusArn=bus)
for name in ("other", "dsar-bus"):
    about = {"metadata": {"id": "evt_1", "client": name}, "data": {"id": "op_1", "status": "succeeded"}}
    tell("courier", "io.graph-courier", "Graph Operation Ended", about)
    tell("courier", "io.graph-courier", "Graph Operation Request Refused", about)
seen["ended"] = take(targets["EndedQueueUrl"])["detail"]
seen["for people"] = take(targets["ForPeopleQueueUrl"])["detail"]
executions = eventually(lambda: states.list_executions(stateMachineArn=targets["StateMachine"])["executions"])
seen["followed up"] = [json.loads(ended(one["executionArn"])["output"]) for one in executions]

# A state machine asks and is woken; another one fails as its operation did, and a third is stopped by the event about its refusal.
machine = deploy("machine", read("state-machine/template.yaml"), EventBusArn=bus, IntakeQueueArn=arn, IntakeQueueUrl=intake)
asks = json.dumps({"operation": "team.archive", "parameters": {"teamId": PERSON}})

def ask(name):
    """Returns the execution of this name and its request."""
    started = states.start_execution(stateMachineArn=machine["StateMachine"], name=name, input=asks)
    return started["executionArn"], take(intake)

woken, seen["asked"] = ask("RITM2")
token = seen["asked"]["data"]["callback"].pop("token")
states.send_task_success(taskToken=token, output=json.dumps({"status": "succeeded"}))
failed, request = ask("RITM3")
states.send_task_failure(taskToken=request["data"]["callback"]["token"], error="unknown", cause="{}")
stopped, request = ask("RITM4")
request = {"source": request["source"], "id": request["id"]}
refusal = {"metadata": {"client": "state-machines"}, "data": {"request": request, "problem": "invalid-request"}}
tell("courier", "io.graph-courier", "Graph Operation Request Refused", refusal)
ends = map(ended, (woken, failed, stopped))
seen["executions"] = [[end["status"], end.get("error")] for end in ends]
print(json.dumps(seen))
