"""httpx: a client with `auth=`, a generator as body, and the API key as a header of the polls."""

import time

import httpx

from report import answer, api_key, body, chunks, json_type, origin, password, user, write


def seen(response):
    return answer(response.status_code, response.headers, response.text)


with httpx.Client(base_url=origin) as client:
    basic = httpx.BasicAuth(user, password)
    wrong = client.post("/v1/operations", auth=basic, json={"operation": "team.schedule"})
    assert wrong.is_client_error and wrong.json()["status"] == wrong.status_code
    response = client.post("/v1/operations", auth=basic, content=chunks(body), headers=json_type)
    answers = [seen(response)]
    head = None
    while response.status_code == 202:
        url = response.url.join(response.headers["Location"])
        head = head or seen(client.head(url, headers=api_key))
        time.sleep(int(response.headers["Retry-After"]))
        response = client.get(url, headers=api_key)
        answers.append(seen(response))
    write(f"httpx {httpx.__version__}", seen(wrong), head, answers)
