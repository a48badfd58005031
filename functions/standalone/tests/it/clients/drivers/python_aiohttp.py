"""aiohttp: a session with `auth=`, an asynchronous generator as body, and the API key as a header of the polls."""

import asyncio

import aiohttp
from yarl import URL

from report import answer, api_key, body, chunks, json_type, origin, password, user, write


async def call(session, method, url, **options):
    async with session.request(method, url, **options) as response:
        return response, answer(response.status, response.headers, await response.text())


async def pieces():
    for piece in chunks(body):
        yield piece


async def main():
    basic = aiohttp.BasicAuth(user, password)
    async with aiohttp.ClientSession() as session:
        url = URL(f"{origin}/v1/operations")
        wrong = {"operation": "team.schedule"}
        async with session.post(url, auth=basic, json=wrong) as response:
            assert not response.ok
            # This refuses a media type other than the expected one.
            problem = await response.json(content_type="application/problem+json")
            assert problem["status"] == response.status
            refused = answer(response.status, response.headers, await response.text())
        response, seen = await call(session, "POST", url, auth=basic, data=pieces(), headers=json_type)
        answers = [seen]
        head = None
        while response.status == 202:
            url = response.url.join(URL(response.headers["Location"]))
            if head is None:
                _, head = await call(session, "HEAD", url, headers=api_key)
            await asyncio.sleep(int(response.headers["Retry-After"]))
            response, seen = await call(session, "GET", url, headers=api_key)
            answers.append(seen)
        write(f"aiohttp {aiohttp.__version__}", refused, head, answers)


asyncio.run(main())
