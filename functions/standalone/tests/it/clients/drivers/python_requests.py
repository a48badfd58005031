"""requests: a session with `auth=`, a generator as body, and the API key as a header of the polls."""

import time
from urllib.parse import urljoin

import requests

from report import answer, api_key, body, chunks, json_type, origin, password, user, write


def seen(response):
    return answer(response.status_code, response.headers, response.text)


with requests.Session() as session:
    url = f"{origin}/v1/operations"
    wrong = session.post(url, auth=(user, password), json={"operation": "team.schedule"})
    assert not wrong.ok and wrong.json()["status"] == wrong.status_code
    response = session.post(url, auth=(user, password), data=chunks(body), headers=json_type)
    answers = [seen(response)]
    head = None
    while response.status_code == 202:
        url = urljoin(response.url, response.headers["Location"])
        head = head or seen(session.head(url, headers=api_key))
        time.sleep(int(response.headers["Retry-After"]))
        response = session.get(url, headers=api_key)
        answers.append(seen(response))
    write(f"requests {requests.__version__}", seen(wrong), head, answers)
