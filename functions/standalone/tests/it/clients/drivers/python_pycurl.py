"""pycurl, which is libcurl: `HTTPAUTH_ANY` sends no credentials before it is challenged, and `Expect: 100-continue`."""

import time
from email.message import Message
from io import BytesIO
from urllib.parse import urljoin

import pycurl

from report import answer, api_key, body, json_type, origin, password, user, write

curl = pycurl.Curl()


def call(url, headers, options):
    curl.reset()
    text, fields = BytesIO(), Message()

    def field(line):
        name, colon, value = line.decode("latin-1").partition(":")
        if colon:
            fields[name] = value.strip()
        else:
            # The status line of the next answer, such as the one to the challenge.
            for name in fields.keys() if line.startswith(b"HTTP/") else []:
                del fields[name]

    curl.setopt(pycurl.URL, url)
    curl.setopt(pycurl.HTTPHEADER, [f"{name}: {value}" for name, value in headers.items()])
    curl.setopt(pycurl.ACCEPT_ENCODING, "")
    curl.setopt(pycurl.WRITEFUNCTION, text.write)
    curl.setopt(pycurl.HEADERFUNCTION, field)
    for option, value in options.items():
        curl.setopt(option, value)
    curl.perform()
    return answer(curl.getinfo(pycurl.RESPONSE_CODE), fields, text.getvalue().decode())


def post(text):
    any_scheme = {pycurl.HTTPAUTH: pycurl.HTTPAUTH_ANY, pycurl.USERNAME: user, pycurl.PASSWORD: password}
    expecting = {**json_type, "Expect": "100-continue"}
    return call(f"{origin}/v1/operations", expecting, {**any_scheme, pycurl.POSTFIELDS: text})


refused = post('{"operation":"team.schedule"}')
answers = [post(body)]
head = None
url = f"{origin}/v1/operations"
while answers[-1]["status"] == 202:
    seen = answers[-1]["headers"]
    url = urljoin(url, seen["location"])
    head = head or call(url, api_key, {pycurl.NOBODY: True})
    time.sleep(int(seen["retry-after"]))
    answers.append(call(url, api_key, {}))
write(pycurl.version, refused, head, answers)
