"""What the Python drivers share: their arguments, and how an answer is written down."""

import json
import sys

origin, user, password, key, body = sys.argv[1:]
json_type = {"Content-Type": "application/json"}
api_key = {"X-Api-Key": key}


def chunks(text):
    """Yields the body in pieces, so that its length is not known when the request begins."""
    data = text.encode()
    yield data[:20]
    yield data[20:]


def answer(status, headers, text):
    kept = ["content-type", "location", "retry-after", "content-length"]
    return {"status": status, "headers": {name: headers.get(name) for name in kept}, "text": text}


def write(client, refused, head, answers):
    json.dump({"client": client, "refused": refused, "head": head, "answers": answers}, sys.stdout)
