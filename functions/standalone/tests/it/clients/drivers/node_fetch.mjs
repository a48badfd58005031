// Node's own `fetch`: a stream as body, and the API key as a header of the polls.
import { setTimeout } from "node:timers/promises";

const [origin, user, password, key, body] = process.argv.slice(1);
const basic = { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` };
const json = { "content-type": "application/json" };
const apiKey = { "x-api-key": key };

async function seen(response) {
  const headers = Object.fromEntries(response.headers);
  return { status: response.status, headers, text: await response.text() };
}

let url = new URL("/v1/operations", origin);
const mistake = JSON.stringify({ operation: "team.schedule" });
const wrong = await fetch(url, { method: "POST", headers: { ...json, ...basic }, body: mistake });
if (wrong.ok || (await wrong.clone().json()).status !== wrong.status) throw new Error("no problem document");
const refused = await seen(wrong);
const chunks = new Blob([body]).stream();
let response = await fetch(url, { method: "POST", headers: { ...json, ...basic }, body: chunks, duplex: "half" });
const answers = [await seen(response)];
let head;
while (response.status === 202) {
  url = new URL(response.headers.get("location"), response.url);
  head ??= await seen(await fetch(url, { method: "HEAD", headers: apiKey }));
  await setTimeout(1000 * response.headers.get("retry-after"));
  response = await fetch(url, { headers: apiKey });
  answers.push(await seen(response));
}
const client = `fetch of Node ${process.versions.node}, undici ${process.versions.undici}`;
process.stdout.write(JSON.stringify({ client, refused, head, answers }));
