"""Writes each case of the corpora to a file in fuzz/corpus, as the inputs with which fuzzing begins."""

from hashlib import sha256
from pathlib import Path
from re import DOTALL, compile
from urllib.parse import unquote_to_bytes

HERE = Path(__file__).parent
CORPORA = HERE / "../shared/courier-core/tests/corpora"
ESCAPE = compile(rb"\\(?:x(..)|u\{([0-9a-f]+)\}|\((\d+)\*([^)]*)\)|(.))", DOTALL)
PLAIN_ESCAPES = {b"t": b"\t", b"n": b"\n", b"r": b"\r", b"\\": b"\\"}


def unescape(text):
    def one(match):
        byte, code_point, times, repeated, plain = match.groups()
        if byte:
            return bytes([int(byte, 16)])
        if code_point:
            return chr(int(code_point, 16)).encode()
        return unescape(repeated) * int(times) if times else PLAIN_ESCAPES[plain]

    return ESCAPE.sub(one, text)


def inputs(name):
    lines = (CORPORA / f"{name}.tsv").read_bytes().splitlines()
    return [unescape(line.split(b"\t")[0]) for line in lines if not line.startswith(b"#")]


def hosts():
    return [b"https://" + host + b"/" for host in inputs("spellings")]


def requests():
    good = next(body for body in inputs("bodies") if body.startswith(b'{"operation":"team.schedule"'))
    yield from (b"\n" + body for body in inputs("bodies") + inputs("json"))
    yield from (b"idempotency-key: " + key + b"\n\n" + good for key in inputs("keys"))
    yield from (b"traceparent: " + trace + b"\n\n" + good for trace in inputs("traces"))


def answers():
    """Yields bodies of answers after two bytes, which select the operation and the HTTP status."""
    events = [path.read_bytes() for path in (HERE / "../events/graph").glob("*.json")]
    for body in inputs("json") + inputs("answers") + events:
        yield from (bytes([operation, 0]) + body for operation in range(32))
        yield bytes([0, 8]) + body


def times():
    """Yields the times of the cases, decoded."""
    fields = (field.partition(b"=") for sas in inputs("sas") for field in sas.partition(b"?")[2].split(b"&"))
    yield from (unquote_to_bytes(time) for name, _, time in fields if name in (b"st", b"se", b"ske"))


def events():
    """Yields JSON that replaces members of a sample event, after a byte that selects the event."""
    paths = [b"/v1/operations", b"/prod/v1/operations", b"/it/graph/v1/operations", b"/a/../%2e%2e/?", b"//", b"", b"https://[::1/"]
    queries = [b"reference=<x>&a=%zz", b"r=a+b&r=%20", b"\\u0001"]
    headers = [b'"host":"a b"', b'"X-Forwarded-Proto":"://"', b'"x name":"a"', b'"x-name":"Z\xc3\xbcrich"', b'"x-name":"a\\nb"', b'"Authorization":"AWS4-x"']
    patches = [b'{"path":"%s"}' % path for path in paths] + [b'{"rawPath":"%s"}' % path for path in paths]
    patches += [b'{"rawQueryString":"%s"}' % query for query in queries]
    patches += [b'{"headers":{%s}}' % header for header in headers]
    patches += [b'{"multiValueHeaders":{"X-Api-Key":["a","b"],"x-api-key":["c"]}}', b'{"multiValueQueryStringParameters":{"r":["1","<"]}}']
    patches += [b'{"isBase64Encoded":true,"body":"="}', b'{"body":null}', b'{"httpMethod":"GE T"}', b'{"requestContext":{"stage":"prod"}}']
    patches += [b'{"requestContext":{"authorizer":{"iam":{}},"identity":{"accessKey":"A"}}}', b'{"requestContext":null}', b"[]"]
    yield from (bytes([door]) + patch for patch in patches for door in [0, 1, 2, 3, 4, 130])


def token_answers():
    """Yields bodies of answers after a byte, which selects the HTTP status."""
    for expires_in in (b"3599", b'"3599"', b"3599.0", b"null", b"-1"):
        yield b"\x00" + b'{"token_type":"Bearer","access_token":"a","expires_in":' + expires_in + b"}"
    yield b'\x00\xef\xbb\xbf{"access_token":"a","refresh_token":"b"}'
    yield b'\x02{"error":"invalid_client","error_codes":[7000215],"trace_id":"5a6c9e0a-0000-4000-8000-000000000000"}'
    yield b'\x01{"error":"invalid_request","error_codes":[90033]}'
    yield from (b"\x00" + body for body in inputs("json"))


def signatures():
    """Yields requests in each dialect; the target replaces the placeholders with signatures."""
    yield b"webhook-id: msg_1\nwebhook-timestamp: 1795291200\nwebhook-signature: v1a,x %standard\n\n{}"
    yield b"webhook-id: msg_1\nwebhook-timestamp: 1795291501\nwebhook-signature: %standard\n\n{}"
    yield b"x-zendesk-webhook-signature-timestamp: 2026-11-21T20:00:00Z\nx-zendesk-webhook-signature: %zendesk\n\n{}"
    yield b"x-hub-signature-256: %github\n\n{}"
    yield b"x-signature: %plain\n\n{}"
    yield b"x-signature: %plain\nx-hub-signature-256: %github\n\n{}"


def catalogue_files():
    return [path.read_bytes() for path in sorted((HERE / "../shared/courier-core/catalogue").glob("*.toml"))]


SEEDS = {
    "catalogue": catalogue_files,
    "callback_url": lambda: inputs("urls") + hosts(),
    "decide": lambda: [bytes([seed * 37 % 256] * 64) + bytes(range(seed, seed + 64)) for seed in range(64)],
    "http_event": events,
    "location": lambda: inputs("locations") + inputs("urls"),
    "request": requests,
    "retry_after": lambda: inputs("retry_after"),
    "sas": lambda: inputs("sas"),
    "signature_headers": signatures,
    "sas_time": times,
    "sqs_envelope": lambda: inputs("messages"),
    "status_json": answers,
    "token_answer": token_answers,
}

for target, seeds in SEEDS.items():
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds():
        if len(seed) <= 4096:
            (folder / sha256(seed).hexdigest()[:32]).write_bytes(seed)
