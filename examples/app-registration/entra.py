"""Looks at an app registration as graph-courier uses it. Python 3.8 or newer, nothing to install. docs/app-registration.md says when.

    python3 entra.py roles   --tenant ID --client ID --secret FILE
    python3 entra.py sign-in --tenant ID --client ID --secret FILE --out REFRESH_TOKEN_FILE

`roles` asks for a token and prints the permissions that were granted, and neither the token nor the secret. `sign-in` lets a person
sign in in a browser on this machine, and writes the refresh token into a file that only you can read.
"""

import argparse, base64, html, json, os, pathlib, secrets, sys
import urllib.error, urllib.parse, urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

class Refused(Exception):
    """What Entra, or the person, has answered instead."""

def ask(options, **form):
    """Returns what the token endpoint grants for this form."""
    secret = pathlib.Path(options.secret).read_text().strip()
    form.update(client_id=options.client, client_secret=secret)
    url = f"{options.login}/{options.tenant}/oauth2/v2.0/token"
    try:
        with urllib.request.urlopen(url, urllib.parse.urlencode(form).encode(), timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        body = error.read().decode(errors="replace")
        try:
            raise Refused(json.loads(body)["error_description"]) from None
        except (ValueError, KeyError):
            raise Refused(f"{error.code}: {body[:500]}") from None
    except urllib.error.URLError as error:
        raise Refused(f"{url}: {error.reason}") from None

def claims(token):
    """Returns what stands in an access token. Its signature is Graph's business, not ours."""
    try:
        part = token.split(".")[1]
        return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (IndexError, ValueError):
        raise Refused("a token came that cannot be read: this is not Entra") from None

def roles(options):
    token = ask(options, grant_type="client_credentials", scope=f"{options.graph}/.default")["access_token"]
    granted = claims(token).get("roles")
    if not granted:
        raise Refused("a token, and no permission in it: nobody has consented yet")
    print("\n".join(sorted(granted)))

def sign_in(options):
    redirect, state = f"http://localhost:{options.port}", secrets.token_urlsafe(16)
    query = urllib.parse.urlencode({
        "client_id": options.client, "response_type": "code", "redirect_uri": redirect, "state": state,
        "scope": f"offline_access {options.graph}/.default", "prompt": "select_account",
    })
    print(f"Open this in a browser on this machine and sign in:\n\n{options.login}/{options.tenant}/oauth2/v2.0/authorize?{query}\n", flush=True)
    code = wait_for_code(options.port, state)
    scope = f"offline_access {options.graph}/.default"
    grant = ask(options, grant_type="authorization_code", code=code, redirect_uri=redirect, scope=scope)
    if "refresh_token" not in grant:
        raise Refused("no refresh token came: is offline_access among the permissions?")
    # Made anew and for the owner alone: a file that is there is kept.
    with open(os.open(options.out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(grant["refresh_token"])
    print(f"{options.out} has the refresh token. Permissions: {grant.get('scope', 'not said')}")

def wait_for_code(port, state):
    """Returns the code with which the browser comes back."""
    came = {}

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
            ours = query.get("state") == state
            if ours:
                came.update(query)
            text = query.get("error_description", "You can close this page.") if ours else "This is not the answer that was expected."
            self.send_response(200 if ours else 404)
            self.send_header("content-type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(f"<p>{html.escape(text)}".encode())

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", port), Page) as server:
        while not came:
            server.handle_request()
    if "code" not in came:
        raise Refused(came.get("error_description", "neither a code nor a reason came"))
    return came["code"]

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, run in [("roles", roles), ("sign-in", sign_in)]:
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        command.add_argument("--tenant", required=True, help="Directory (tenant) ID, tenant_id in courier.toml")
        command.add_argument("--client", required=True, help="Application (client) ID, client_id in courier.toml")
        command.add_argument("--secret", required=True, help="file with the value of the client secret")
        command.add_argument("--login", default="https://login.microsoftonline.com", help="of a national cloud, or the simulator")
        command.add_argument("--graph", default="https://graph.microsoft.com", help="the same")
        if run is sign_in:
            command.add_argument("--out", required=True, help="the file that is made for the refresh token")
            command.add_argument("--port", type=int, default=8400, help="of the redirect URI http://localhost:8400")
    options = parser.parse_args()
    try:
        options.run(options)
    except (Refused, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0

if __name__ == "__main__":
    sys.exit(main())
