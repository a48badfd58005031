"""Verifies a callback of graph-courier, signed as Standard Webhooks 1.0 says. Python 3.8 or newer, nothing to install."""

import base64, hashlib, hmac, json, time

WINDOW_SECONDS = 5 * 60

class Refused(Exception):
    """Why a request must not be believed."""

def verify(body, headers, secrets, now=None):
    """Returns the event in `body` (the bytes as they came) if one of the whsec_ secrets has signed it now."""
    headers = {name.lower(): value for name, value in headers.items()}
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        if not headers.get(name):
            raise Refused(f"{name} is missing")
    sent_at = headers["webhook-timestamp"]
    content = f"{headers['webhook-id']}.{sent_at}.".encode() + body
    fits = False
    for secret in secrets:
        key = base64.b64decode(secret[len("whsec_"):])
        expected = b"v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest())
        for signature in headers["webhook-signature"].split(" "):
            fits |= hmac.compare_digest(expected, signature.encode())
    if not fits:
        raise Refused("no signature fits")
    now = time.time() if now is None else now
    if abs(now - int(sent_at)) > WINDOW_SECONDS:
        raise Refused("it was not sent within the last 5 minutes")
    return json.loads(body)

# From here on the same as a program: `python3 verify.py --help` says how.

USAGE = """Verifies a callback of graph-courier and says why it must not be believed.

    python3 verify.py --secret file:signing-secret < request        # head, empty line and body, as they came over the wire
    python3 verify.py --secret env:SIGNING_NEW -H 'webhook-id: …' -H 'webhook-timestamp: …' -H 'webhook-signature: …' < body
    python3 verify.py --secret env:SIGNING_NEW --serve 9099         # a receiver on this machine that answers 204 or 401

Exit code 0: it may be believed, and the event is on standard output. 1: it must not. 2: it was called wrongly."""

def guess(body, headers, secrets, now):
    """Returns what may have happened to a request whose signature does not fit."""
    changes = [("without the line break at its end, which was not sent", lambda: body.rstrip(b"\r\n")),
               ("with a line break at its end, which was lost", lambda: body + b"\n"),
               ("as compact JSON: somebody has parsed it and written it anew",
                lambda: json.dumps(json.loads(body), separators=(",", ":"), ensure_ascii=False).encode())]
    for change, changed in changes:
        try:
            verify(changed(), headers, secrets, now)
            return f"it fits the body {change}. Verify the bytes as they came"
        except (Refused, ValueError):
            pass
    return "the secret may be that of another client, or body, id or time are not what was sent"

def explain(body, headers, secrets, now=None):
    """Returns the event, or raises Refused with more than `verify` says."""
    headers = {name.lower(): value for name, value in headers.items()}
    try:
        return verify(body, headers, secrets, now)
    except Refused as refused:
        reason = str(refused)
        if reason == "no signature fits":
            sent_at = headers["webhook-timestamp"]
            reason += ": " + guess(body, headers, secrets, int(sent_at) if sent_at.isdigit() else now)
        elif "5 minutes" in reason:
            away = (time.time() if now is None else now) - int(headers["webhook-timestamp"])
            reason += f", but {abs(away):.0f} s {'ago' if away > 0 else 'ahead'}: an old copy (see --any-age), or a wrong clock"
        raise Refused(reason) from None

def read_secret(text):
    import os, pathlib
    if text.startswith("env:"):
        text = os.environ.get(text[4:], "")
    elif not text.startswith("whsec_"):
        text = pathlib.Path(text[5:] if text.startswith("file:") else text).read_text()
    if not text.strip().startswith("whsec_"):
        raise ValueError("a secret begins with whsec_")
    base64.b64decode(text.strip()[len("whsec_"):], validate=True)
    return text.strip()

def read_request(data):
    """Splits a request into its headers and its body. Lines before it that begin with # are left out."""
    import re
    data = re.sub(rb"\A(#.*\n|\r?\n)+", b"", data)
    head, body = (re.split(rb"\r?\n\r?\n", data, maxsplit=1) + [b""])[:2]
    lines = (line.partition(":") for line in head.decode("latin-1").splitlines())
    headers = {name.strip().lower(): value.strip() for name, colon, value in lines if colon and " " not in name}
    length = headers.get("content-length", "")
    return headers, body[: int(length)] if length.isdigit() else body

def serve(port, secrets, any_age):
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            sent_at = self.headers.get("webhook-timestamp", "")
            try:
                event = explain(body, self.headers, secrets, int(sent_at) if any_age and sent_at.isdigit() else None)
                status, line = 204, f"verified: {event['type']} {event['data']['id']}"
            except Refused as refused:
                status, line = 401, f"refused: {refused}"
            print(line, flush=True)
            self.send_response(status)
            self.end_headers()

        do_PUT = do_PATCH = do_POST

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", port), Receiver)
    print(f"receiving callbacks at http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()

def main():
    import argparse, sys
    parser = argparse.ArgumentParser(usage=USAGE)
    parser.add_argument("--secret", action="append", required=True, help="file:PATH, env:NAME or whsec_…; several while they are rotated")
    parser.add_argument("-H", "--header", action="append", help="'name: value'; then standard input is the body alone")
    parser.add_argument("--any-age", action="store_true", help="an old copy: the time of the request is not compared with the clock")
    parser.add_argument("--serve", type=int, metavar="PORT")
    options = parser.parse_args()
    try:
        secrets = [read_secret(one) for one in options.secret]
    except (OSError, ValueError) as error:
        parser.exit(2, f"--secret: {error}\n")
    if options.serve is not None:
        return serve(options.serve, secrets, options.any_age)
    data = sys.stdin.buffer.read()
    if options.header:
        headers, body = read_request("\n".join(options.header).encode() + b"\n\n" + data)
    else:
        headers, body = read_request(data)
    sent_at = headers.get("webhook-timestamp", "")
    try:
        print(json.dumps(explain(body, headers, secrets, int(sent_at) if options.any_age and sent_at.isdigit() else None)))
    except Refused as refused:
        parser.exit(1, f"refused: {refused}\n")

if __name__ == "__main__":
    main()
