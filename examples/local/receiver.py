"""A receiver of callbacks that verifies each signature. Nothing to install; the port is 9099 or the first argument."""

import pathlib, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

here = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(here.parent.parent / "docs/callers/verify"))
from verify import Refused, verify

SECRETS = [(here / "secrets/signing-secret").read_text().strip()]

class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            event = verify(body, self.headers, SECRETS)
        except Refused as refused:
            print("refused:", refused, flush=True)
            status = 401
        else:
            print("verified:", event["type"], event["data"]["id"], flush=True)
            status = 204
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_):
        pass

server = HTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 9099), Receiver)
print(f"receiving callbacks at http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
