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
