"""A Lambda function for the kit's own tests: speaks the Runtime API and does what the event, or the message in it, says."""
import base64
import ctypes
import json
import os
import sys
import time
import urllib.error
import urllib.request

API = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/"


class Failure(Exception):
    pass


def post(path, body):
    urllib.request.urlopen(urllib.request.Request(API + path, data=body, method="POST")).read()


def call(headers, target, body):
    """An AWS call as the Rust SDK makes it within a Lambda: the trace header goes along."""
    request = urllib.request.Request(os.environ["AWS_ENDPOINT_URL"], data=json.dumps(body).encode(), method="POST")
    request.add_header("X-Amz-Target", target)
    request.add_header("Content-Type", "application/x-amz-json-1.0")
    request.add_header("X-Amzn-Trace-Id", headers["Lambda-Runtime-Trace-Id"])
    request.add_header("Authorization", "AWS4-HMAC-SHA256 Credential=test/20261121/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=x")
    try:
        with urllib.request.urlopen(request, timeout=os.environ.get("CALL_TIMEOUT") and 1) as answer:
            return {"status": answer.status, "body": json.loads(answer.read())}
    except urllib.error.HTTPError as error:
        return {"status": error.code, "body": json.loads(error.read())}
    except Exception as error:
        return {"lost": type(error).__name__}


def obey(command, headers, count):
    verb, *arguments = command
    if verb == "answer":
        return json.dumps(arguments[0])
    if verb == "raw":
        return arguments[0]
    if verb == "count":
        return json.dumps({"count": count, "process": os.getpid()})
    if verb == "time":
        return json.dumps(time.time_ns() // 1_000_000)
    if verb == "world":
        return json.dumps({"variables": dict(os.environ), "headers": {k.lower(): v for k, v in headers.items()}})
    if verb == "say":
        print(arguments[0], flush=True)
        print(arguments[0].upper(), file=sys.stderr, flush=True)
        return "null"
    if verb == "work":
        # About so much processor time, and so much memory.
        hoard, until = b"x" * (arguments[1] << 20), time.thread_time_ns() + arguments[0] * 1_000_000
        while time.thread_time_ns() < until:
            pass
        return json.dumps(len(hoard))
    if verb == "call":
        return json.dumps(call(headers, *arguments))
    if verb == "echo":
        body = json.dumps({"do": command})
        call(headers, "AmazonSQS.SendMessage", {"QueueUrl": arguments[0], "MessageBody": body})
        return "null"
    if verb == "fail":
        raise Failure(*arguments)
    if verb == "exit":
        os._exit(arguments[0])
    if verb == "hang":
        ctypes.CDLL(None).pause()
    raise ValueError(verb)


def handle(event, headers, count):
    if isinstance(event, list):
        return obey(event, headers, count)
    if "Records" in event:
        bodies = [json.loads(record["body"]) for record in event["Records"]]
        ids = [record["messageId"] for record in event["Records"]]
        for body in bodies:
            if "do" in body:
                text = json.dumps(body["do"])
                for place, identifier in enumerate(ids):
                    text = text.replace(f"${place}", identifier)
                return obey(json.loads(text), headers, count)
            if "show" in body:
                raise Failure("Shown", json.dumps(event))
        failed = [{"itemIdentifier": i} for i, body in zip(ids, bodies) if body.get("fail")]
        return json.dumps({"batchItemFailures": failed})
    body = event.get("body") or "null"
    body = base64.b64decode(body) if event["isBase64Encoded"] else body
    try:
        return obey(json.loads(body), headers, count)
    except (TypeError, ValueError):
        return json.dumps({"statusCode": 200, "body": json.dumps(event)})


def main():
    if os.environ.get("INIT") == "error":
        post("init/error", b'{"errorType": "Init", "errorMessage": "no such queue"}')
    if os.environ.get("INIT"):
        sys.exit(1)
    count = 0
    while True:
        with urllib.request.urlopen(API + "invocation/next") as invocation:
            headers, event = invocation.headers, json.loads(invocation.read())
        count += 1
        path = "invocation/" + headers["Lambda-Runtime-Aws-Request-Id"]
        try:
            post(path + "/response", handle(event, headers, count).encode())
        except Failure as failure:
            kind, message = failure.args
            post(path + "/error", json.dumps({"errorType": kind, "errorMessage": message}).encode())


main()
