"""Tries bridge.py against a graph-courier: plays Fides, as version 2.78.2 calls a two_way pre-execution webhook and is called back.

    python3 try.py http://127.0.0.1:8080 API_KEY SIGNING_SECRET BRIDGE_PORT [OPTION OF THE BRIDGE…]

The webhook is webhook.json. The client must permit callbacks to http://127.0.0.1:BRIDGE_PORT; examples/local does for 9098.
"""

import datetime, json, os, pathlib, subprocess, sys, threading, time, urllib.error, urllib.request, uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

courier, key, secret, port, *more = sys.argv[1:]
here = pathlib.Path(__file__).resolve().parent
resumed = []
ready = threading.Event()
BRIDGE_KEY = "key-of-the-bridge"
received = (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)).isoformat()


class Fides(BaseHTTPRequestHandler):
    """The call that goes on with a privacy request: refused until the request is paused, as Fides does."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        token = self.headers["Authorization"]
        resumed.append([self.path, token, body, ready.is_set()])
        self.send_response(200 if ready.is_set() else 400)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")
        ready.set()

    def log_message(self, *_):
        pass


def webhook(request_id, token, bridge_key=BRIDGE_KEY, **changes):
    """Calls the bridge as Fides does; returns status and body."""
    told = json.loads((here / "webhook.json").read_text())
    told.update(privacy_request_id=request_id, **changes)
    told["privacy_request"]["requested_at"] = received
    headers = {"Authorization": bridge_key, "Content-Type": "application/json",
               "reply-to": f"/privacy-request/{request_id}/resume", "reply-to-token": token}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/fides", json.dumps(told).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def expect(name, found, wanted):
    assert found == wanted, f"{name}: {found} instead of {wanted}"


fides = ThreadingHTTPServer(("127.0.0.1", 0), Fides)
threading.Thread(target=fides.serve_forever, daemon=True).start()
command = [sys.executable, "-B", here / "bridge.py", "--courier", courier, "--fides", f"http://127.0.0.1:{fides.server_port}",
           "--public", f"http://127.0.0.1:{port}", "--listen", f"127.0.0.1:{port}", *more]
environment = {**os.environ, "BRIDGE_KEY": BRIDGE_KEY, "COURIER_KEY": key, "SIGNING_SECRET": secret}
bridge = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
try:
    bridge.stdout.readline()
    request_id = f"pri_{uuid.uuid4()}"
    expect("another key", webhook(request_id, "t", bridge_key="wrong")[0], 401)
    expect("no object id", webhook(request_id, "t", identity={"email": "a@b.example"})[0], 422)
    expect("asked", webhook(request_id, "token.1-_"), (200, {"halt": True}))
    expect("asked again", webhook(request_id, "token.2+/="), (200, {"halt": True}))
    until = time.monotonic() + 60
    while len(resumed) < 2 and time.monotonic() < until:
        ready.wait(0.2)
        time.sleep(0.1)
    call = [f"/api/v1/privacy-request/{request_id}/resume", "Bearer token.2+/=", {"derived_identity": {}}]
    assert bridge.poll() is None
    expect("resumed", resumed, [[*call, False], [*call, True]])
    expect("asked after the end", webhook(request_id, "token.3"), (200, {"halt": False}))
    forged = urllib.request.Request(f"http://127.0.0.1:{port}/courier?token=x", b"{}", {"webhook-id": "a"})
    try:
        urllib.request.urlopen(forged)
        raise AssertionError("a forged completion was taken")
    except urllib.error.HTTPError as error:
        expect("forged", error.code, 401)
    print("asked, asked again, resumed and refused as it should be")
finally:
    bridge.kill()
