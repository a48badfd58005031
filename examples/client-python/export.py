"""Asks graph-courier for a person's export and waits for its end, with a client that was generated from the OpenAPI document.

    python3 export.py TICKET PERSON < container-url                       # asks again and again
    python3 export.py TICKET PERSON --listen 9099 < container-url         # waits to be called back at this port

README.md says how the client is generated. Environment: COURIER_URL, COURIER_API_KEY, and for --listen COURIER_SIGNING_SECRET.
Exit code: 0 succeeded, 3 ended otherwise, 1 it was refused.
"""

import argparse
import os
import sys
import time
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from uuid import UUID

import httpx
from courier_client import AuthenticatedClient
from courier_client.api.operations import create_operation, get_operation
from courier_client.models import Callback, Completion, Operation, Problem, UserExportPersonalData, UserExportPersonalDataParameters
from courier_client.types import UNSET, Response
from standardwebhooks.webhooks import Webhook, WebhookVerificationError


class Refused(Exception):
    """A problem document that no waiting heals."""


def ask(client: AuthenticatedClient, request: UserExportPersonalData) -> Operation:
    """Starts the export once, however often the request has to be sent."""
    while True:
        try:
            answer = create_operation.sync_detailed(client=client, body=request, prefer="respond-async")
        except httpx.TransportError as error:
            print(f"no answer ({error}): the same again, which starts nothing twice", file=sys.stderr)
            time.sleep(5)
            continue
        operation = read(answer)
        if operation:
            return operation


def follow(client: AuthenticatedClient, operation: Operation) -> Operation:
    """Asks until the operation has ended. Each call waits at the server for as long as it may."""
    while not isinstance(operation.ended_at, datetime):
        asked = time.monotonic()
        try:
            operation = read(get_operation.sync_detailed(operation.id, client=client, prefer="wait=25")) or operation
        except httpx.TransportError as error:
            print(f"no answer ({error})", file=sys.stderr)
        time.sleep(max(0.0, asked + 5 - time.monotonic()) if not operation.ended_at else 0)
    return operation


def read(answer: "Response[Operation | Problem]") -> "Operation | None":
    """Returns the operation of an answer, or nothing after the pause that it asks for."""
    if isinstance(answer.parsed, Operation):
        return answer.parsed
    if answer.status_code in (429, 503):
        time.sleep(int(answer.headers.get("retry-after", "5")))
        return None
    problem = answer.parsed
    if not isinstance(problem, Problem):
        raise Refused(f"{answer.status_code}, which is no answer of graph-courier's")
    lines = [problem.title, problem.detail or ""]
    lines += [f"{error.pointer or error.header or error.parameter}: {error.rule}" for error in problem.errors or []]
    raise Refused("\n".join(line for line in lines if line))


def listen(port: int, secret: str, id: str) -> Operation:
    """Waits until the completion of this operation arrives, and believes only what is signed."""
    webhook, arrived = Webhook(secret), []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            status = 204
            try:
                event = Completion.from_dict(webhook.verify(body, dict(self.headers.items())))
                if event.data.id == id:
                    arrived.append(event.data)
            except WebhookVerificationError as error:
                print(f"refused: {error}", file=sys.stderr)
                status = 401
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", port), Receiver) as server:
        while not arrived:
            server.handle_request()
    return arrived[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ticket")
    parser.add_argument("person", type=UUID, help="object id in Entra")
    parser.add_argument("--listen", type=int, metavar="PORT")
    options = parser.parse_args()
    # The container's URL is a secret, so it is no argument.
    container = sys.stdin.readline().strip()
    client = AuthenticatedClient(
        base_url=os.environ["COURIER_URL"],
        token=os.environ["COURIER_API_KEY"],
        prefix="",
        auth_header_name="X-Api-Key",
        timeout=httpx.Timeout(35),
    )
    callback = Callback(url=f"http://127.0.0.1:{options.listen}/graph") if options.listen else UNSET
    try:
        operation = ask(client, UserExportPersonalData(
            operation="user.exportPersonalData",
            parameters=UserExportPersonalDataParameters(user_id=options.person, storage_location=container),
            callback=callback,
            reference=options.ticket,
        ))
        print(f"{operation.id} {operation.status}", file=sys.stderr)
        if options.listen and not isinstance(operation.ended_at, datetime):
            operation = listen(options.listen, os.environ["COURIER_SIGNING_SECRET"], operation.id)
        else:
            operation = follow(client, operation)
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 1
    print(operation.status, operation.reason or "", operation.result.to_dict() if operation.result else "")
    return 0 if operation.status == "succeeded" else 3


if __name__ == "__main__":
    sys.exit(main())
