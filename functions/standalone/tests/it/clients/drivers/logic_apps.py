"""A poller that does what the HTTP action of Azure Logic Apps does with its asynchronous pattern switched on.

It has only the standard library: no session and no connection that is used again. After each 202 it looks at `Location`
of that very answer, after the `Retry-After` of that answer, and stops at the first answer that is not a 202.
"""

import base64
import time
import urllib.error
import urllib.request
from urllib.parse import urljoin, urlsplit

from report import answer, body, json_type, origin, password, user, write

basic = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def call(method, url, data=None, headers=None):
    place = urlsplit(url)
    own = f"{place.scheme}://{place.netloc}" == origin
    credentials = {"Authorization": basic} if own else {}
    request = urllib.request.Request(url, data, {**(headers or {}), **credentials}, method=method)
    try:
        with urllib.request.urlopen(request) as response:
            return answer(response.status, response.headers, response.read().decode())
    except urllib.error.HTTPError as error:
        return answer(error.code, error.headers, error.read().decode())


url = f"{origin}/v1/operations"
refused = call("POST", url, b'{"operation":"team.schedule"}', json_type)
answers = [call("POST", url, body.encode(), json_type)]
head = None
while answers[-1]["status"] == 202:
    seen = answers[-1]["headers"]
    if seen["location"] is None:
        raise SystemExit("a 202 without Location: the action would end here and fail")
    url = urljoin(url, seen["location"])
    head = head or call("HEAD", url)
    time.sleep(int(seen["retry-after"]))
    answers.append(call("GET", url))
write("Logic Apps' asynchronous pattern", refused, head, answers)
