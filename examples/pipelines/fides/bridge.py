"""Holds a privacy request of Fides until graph-courier has exported the person's data.

    BRIDGE_KEY=… COURIER_KEY=… SIGNING_SECRET=whsec_… python3 bridge.py --courier https://courier.example \\
        --fides https://fides.example --public https://bridge.example --parameter storage=dsar-eu

Python 3.9 or newer, nothing to install; verify.py (docs/callers/verify) lies beside it or on PYTHONPATH. It keeps nothing: what it
has to know weeks later stands in the callback's URL, which graph-courier keeps sealed. docs/pipelines/fides.md has the rest.
"""

import argparse, hmac, json, os, re, sys, urllib.error, urllib.parse, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

for place in (".", "../../../docs/callers/verify"):
    sys.path.append(str(Path(__file__).resolve().parent / place))
import verify

OPERATION = "user.exportPersonalData"
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
MAX_BODY = 1 << 20
TIMEOUT_SECONDS = 20


class Refused(Exception):
    """An answer other than success, and why."""

    def __init__(self, status, reason):
        super().__init__(reason)
        self.status = status


def call(method, url, headers, body):
    """Returns status and parsed body of an answer, whatever its status; raises Refused if there is none."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            return answer.status, json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        text = error.read()
        return error.code, json.loads(text) if text[:1] == b"{" else {}
    except OSError as error:
        raise Refused(503, f"{urllib.parse.urlsplit(url).netloc} does not answer: {type(error).__name__}") from None


def person(identity, name):
    """Returns the object id in Entra among the identities of a privacy request."""
    value = identity.get(name)
    if isinstance(value, dict):     # a custom identity comes with its label
        value = value.get("value")
    if not isinstance(value, str) or not UUID.fullmatch(value):
        raise Refused(422, f"the privacy request has no identity {name} with an object id of Entra")
    return value


def ask(options, told, token):
    """Asks graph-courier for the export of a privacy request; returns whether Fides has to wait for it."""
    request_id = str(told["privacy_request_id"])
    callback = {"url": f"{options.public}/courier?{urllib.parse.urlencode({'token': token})}"}
    body = {"operation": OPERATION,
            "parameters": {"userId": person(told["identity"], options.identity), **dict(options.parameter)},
            "callback": callback, "reference": request_id}
    received = (told.get("privacy_request") or {}).get("requested_at")
    if options.regulation and received:
        body["legal"] = {"regulation": options.regulation, "receivedAt": received, "timeZone": options.time_zone}
    headers = {"X-Api-Key": options.courier_key, "Prefer": "respond-async"}
    operations = f"{options.courier}/v1/operations"
    status, answer = call("POST", operations, headers, body)
    if status == 422 and answer.get("type", "").endswith("idempotency-key-reused"):
        # Fides runs its webhooks again: the same request, and another token that ends the wait.
        query = urllib.parse.urlencode({"reference": request_id, "operation": OPERATION})
        status, answer = call("GET", f"{operations}?{query}", headers, None)
        known = answer["operations"][0] if status == 200 and answer.get("operations") else {}
        if known.get("status") == "succeeded":
            return False
        if known and not known["endedAt"]:
            status, answer = call("PATCH", f"{operations}/{known['id']}/callback", headers, callback)
        else:
            raise Refused(502, f"the export of this privacy request ended as {known.get('status')}")
    if status not in (200, 202):
        broken = "; ".join(f"{error['pointer']} {error['rule']}" for error in answer.get("errors", []))
        raise Refused(502, f"graph-courier answered {status} {answer.get('type', '')} {broken}".strip())
    return True


def resume(options, event, token):
    """Lets Fides go on with the privacy request of a completion."""
    data = event["data"]
    if data["operation"] != OPERATION or data["status"] != "succeeded":
        # Fides has no call for "this failed": the request stays paused, and a person decides.
        print(f"{data['reference']}: {data['id']} ended as {data['status']}, the privacy request stays paused", flush=True)
        return
    path = f"/api/v1/privacy-request/{urllib.parse.quote(data['reference'], safe='')}/resume"
    status, _ = call("POST", options.fides + path, {"Authorization": f"Bearer {token}"}, {"derived_identity": {}})
    if status != 200:
        # 400: not paused yet, or gone on already; 403: the token is too old. graph-courier tries again and then lists it.
        raise Refused(503, f"Fides answered {status}")
    print(f"{data['reference']}: goes on", flush=True)


class Bridge(BaseHTTPRequestHandler):
    def do_POST(self):
        options = self.server.options
        url = urllib.parse.urlsplit(self.path)
        try:
            length = int(self.headers.get("Content-Length") or 0)
            if length > MAX_BODY:
                raise Refused(413, "the body is too large")
            body = self.rfile.read(length)
            if url.path == "/fides":
                key = self.headers.get("Authorization", "").removeprefix("Bearer ")
                if not hmac.compare_digest(key.encode(), options.bridge_key.encode()):
                    raise Refused(401, "this is not Fides")
                token = self.headers.get("reply-to-token")
                if not token:
                    raise Refused(400, "no reply-to-token: the webhook must be two_way and pre_execution")
                self.answer(200, {"halt": ask(options, json.loads(body), token)})
            elif url.path == "/courier":
                # The signature covers the body only, so which request goes on is taken from it and not from the URL.
                event = verify.verify(body, self.headers, options.signing_secrets)
                resume(options, event, urllib.parse.parse_qs(url.query)["token"][0])
                self.answer(204)
            else:
                raise Refused(404, "there is nothing here")
        except verify.Refused as refused:
            self.answer(401, {"error": str(refused)})
        except Refused as refused:
            print(f"{url.path}: {refused}", flush=True)
            self.answer(refused.status, {"error": str(refused)})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self.answer(400, {"error": f"not what Fides or graph-courier sends: {type(error).__name__}"})

    def answer(self, status, body=None):
        text = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        """Paths hold tokens, so they are not logged."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--courier", required=True, help="where graph-courier is")
    parser.add_argument("--fides", required=True, help="where Fides is")
    parser.add_argument("--public", required=True, help="where graph-courier reaches this program")
    parser.add_argument("--parameter", action="append", default=[], type=lambda text: text.split("=", 1), metavar="NAME=VALUE",
                        help="of each operation, such as storage=dsar-eu for a storage of graph-courier's configuration")
    parser.add_argument("--identity", default="entra_object_id", help="name of the identity in Fides that is the object id in Entra")
    parser.add_argument("--regulation", default="gdpr", help="for graph-courier's legal clock; empty for none")
    parser.add_argument("--time-zone", default="Europe/Berlin", help="whose days the legal clock counts")
    parser.add_argument("--listen", default="127.0.0.1:8090")
    options = parser.parse_args()
    options.bridge_key = os.environ["BRIDGE_KEY"]
    options.courier_key = os.environ["COURIER_KEY"]
    options.signing_secrets = os.environ["SIGNING_SECRET"].split()
    host, _, port = options.listen.rpartition(":")
    server = ThreadingHTTPServer((host, int(port)), Bridge)
    server.options = options
    print(f"listening at http://{host}:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
