// axios: an instance with `auth`, a stream as body, and the API key as a header of the polls.
import { Agent } from "node:http";
import { Readable } from "node:stream";
import { setTimeout } from "node:timers/promises";
import axios from "axios";

const [origin, user, password, key, body] = process.argv.slice(1);
const auth = { username: user, password };
const apiKey = { headers: { "x-api-key": key } };
const httpAgent = new Agent({ keepAlive: true });
const api = axios.create({ baseURL: origin, httpAgent });

function seen(response) {
  // axios parses JSON of any media type.
  const text = response.data === "" ? "" : JSON.stringify(response.data);
  return { status: response.status, headers: { ...response.headers }, text };
}

const wrong = api.post("/v1/operations", { operation: "team.schedule" }, { auth });
const refused = await wrong.then(
  () => { throw new Error("it was accepted"); },
  (error) => seen(error.response),
);
const headers = { "content-type": "application/json" };
let url = new URL("/v1/operations", origin);
let response = await api.post(url.href, Readable.from([body.slice(0, 20), body.slice(20)]), { auth, headers });
const answers = [seen(response)];
let head;
while (response.status === 202) {
  url = new URL(response.headers.location, url);
  head ??= seen(await api.head(url.href, apiKey));
  await setTimeout(1000 * response.headers["retry-after"]);
  response = await api.get(url.href, apiKey);
  answers.push(seen(response));
}
httpAgent.destroy();
process.stdout.write(JSON.stringify({ client: `axios ${axios.VERSION}`, refused, head, answers }));
