"""Signs requests again, with the headers that their signatures name, and writes the signatures. Reads and writes JSON."""

import json
import sys

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


def signature(sent):
    headers = sent["headers"]
    proof = headers["authorization"]
    region, service = proof.split("Credential=")[1].split(",")[0].split("/")[-3:-1]
    names = proof.split("SignedHeaders=")[1].split(",")[0].split(";")
    url = "http://" + headers["host"] + sent["path"]
    request = AWSRequest("POST", url, {name: headers[name] for name in names}, sent["body"].encode())
    request.context["timestamp"] = headers["x-amz-date"]
    auth = SigV4Auth(Credentials(*sent["keys"]), service, region)
    return auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)


json.dump([signature(sent) for sent in json.load(sys.stdin)], sys.stdout)
