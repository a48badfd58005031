"""What the test of targets needs on an emulator of AWS, and what has arrived there. Reads and writes JSON."""

import json
import sys
import time

import boto3

given = json.load(sys.stdin)


def client(service):
    return boto3.client(
        service, endpoint_url=given["url"], region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )


sqs = client("sqs")
states = client("stepfunctions")


def message(queue):
    for _ in range(100):
        messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=1).get("Messages", [])
        if messages:
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=messages[0]["ReceiptHandle"])
            return json.loads(messages[0]["Body"])
        time.sleep(0.05)
    raise SystemExit(f"{queue} stays empty")


def set_up():
    names = ["direct", "of-topic", "of-bus", "of-announcements", "tasks"]
    queues = {name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in names}
    arns = {
        name: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        for name, url in queues.items()
    }
    for name, service in [("of-topic", "sns"), ("of-bus", "events"), ("of-announcements", "events")]:
        principal = {"Service": f"{service}.amazonaws.com"}
        may = policy({"Action": "sqs:SendMessage", "Principal": principal, "Resource": arns[name]})
        sqs.set_queue_attributes(QueueUrl=queues[name], Attributes={"Policy": may})
    topic = client("sns").create_topic(Name="completions")["TopicArn"]
    raw = {"RawMessageDelivery": "true"}
    client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arns["of-topic"], Attributes=raw)
    events = client("events")
    buses = {name: events.create_event_bus(Name=name)["EventBusArn"] for name in ["privacy", "closed", "announcements"]}
    events.put_rule(Name="all", EventBusName="privacy", EventPattern=json.dumps({"source": ["io.graph-courier"]}))
    ended = {"source": ["io.graph-courier"], "detail-type": ["Graph Operation Ended"], "detail": {"metadata": {"client": ["tickets"]}}}
    events.put_rule(Name="ended", EventBusName="announcements", EventPattern=json.dumps(ended))
    events.put_targets(Rule="ended", EventBusName="announcements", Targets=[{"Id": "queue", "Arn": arns["of-announcements"]}])
    events.put_targets(Rule="all", EventBusName="privacy", Targets=[{"Id": "queue", "Arn": arns["of-bus"]}])
    iam = client("iam")
    role = iam.create_role(RoleName="machine", AssumeRolePolicyDocument=policy({"Action": "sts:AssumeRole", "Principal": {"Service": "states.amazonaws.com"}}))
    iam.put_role_policy(RoleName="machine", PolicyName="send", PolicyDocument=policy({"Action": "sqs:SendMessage", "Resource": "*"}))
    body = {"token.$": "$$.Task.Token"}
    wait = {
        "Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken", "End": True,
        "Parameters": {"QueueUrl": queues["tasks"], "MessageBody": body},
    }
    machine = states.create_state_machine(
        name="waits", roleArn=role["Role"]["Arn"], definition=json.dumps({"StartAt": "Wait", "States": {"Wait": wait}})
    )["stateMachineArn"]
    execution = states.start_execution(stateMachineArn=machine)["executionArn"]
    iam.create_user(UserName="courier")
    iam.put_user_policy(UserName="courier", PolicyName="targets", PolicyDocument=policy(
        {"Action": "sqs:SendMessage", "Resource": arns["direct"]},
        {"Action": "sns:Publish", "Resource": topic},
        {"Action": "events:PutEvents", "Resource": [buses["privacy"], buses["announcements"]]},
        {"Action": ["states:SendTaskSuccess", "states:SendTaskFailure"], "Resource": "*"},
        {"Action": "lambda:SendDurableExecutionCallback*", "Resource": "*"},
    ))
    key = iam.create_access_key(UserName="courier")["AccessKey"]
    return {
        "queues": queues, "topic": topic, "buses": buses, "execution": execution,
        "token": message(queues["tasks"])["token"], "key": [key["AccessKeyId"], key["SecretAccessKey"]],
    }


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **one} for one in statements]})


def arrived():
    queues = given["queues"]
    told = {name: message(queues[name]) for name in ["direct", "of-topic", "of-bus", "of-announcements"]}
    for _ in range(100):
        execution = states.describe_execution(executionArn=given["execution"])
        if execution["status"] != "RUNNING":
            break
        time.sleep(0.05)
    return {**told, "execution": [execution["status"], json.loads(execution.get("output", "null"))]}


json.dump(set_up() if "execution" not in given else arrived(), sys.stdout)
