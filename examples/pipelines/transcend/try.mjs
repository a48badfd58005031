// Tries bridge.mjs against a graph-courier: plays Transcend's gateway, with webhooks as its own example package takes them.
//
//     node try.mjs http://127.0.0.1:8080 API_KEY SIGNING_SECRET BRIDGE_PORT [OPTION OF THE BRIDGE…]
//
// The webhook is webhook.json. The client must permit callbacks to http://127.0.0.1:BRIDGE_PORT.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

const [courier, key, secret, port, ...more] = process.argv.slice(2);
const keys = generateKeyPairSync("ec", { namedCurve: "P-384" });
const other = generateKeyPairSync("ec", { namedCurve: "P-384" });
const PERSON = "6e7b768e-07e2-4810-8459-485f84f8f204";
const told = [];

/** A token as Transcend's gateway signs it. */
function token(claims = {}, { privateKey } = keys) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const all = { value: PERSON, scope: "coreIdentifier", aud: "contoso", iat: Math.floor(Date.now() / 1000), ...claims };
  const signed = `${part({ alg: "ES384", typ: "JWT" })}.${part(all)}`;
  return `${signed}.${sign("sha384", Buffer.from(signed), { key: privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
}

const gateway = createServer(async (request, response) => {
  if (request.url === "/public-keys/sombra-general-signing-key") {
    return response.end(keys.publicKey.export({ type: "spki", format: "pem" }));
  }
  const chunks = await request.toArray();
  const { authorization, "x-transcend-nonce": nonce } = request.headers;
  told.push([request.method, request.url, authorization, nonce, JSON.parse(Buffer.concat(chunks))]);
  // The first report is lost, so that it comes again.
  response.writeHead(told.length === 1 ? 500 : 200).end("{}");
});
await once(gateway.listen(0, "127.0.0.1"), "listening");

const data = mkdtempSync(join(tmpdir(), "transcend-"));
const bridge = spawn(process.execPath, [
  new URL("bridge.mjs", import.meta.url).pathname,
  ...["--courier", courier, "--public", `http://127.0.0.1:${port}`, "--audience", "contoso", "--data", data],
  ...["--sombra", `http://127.0.0.1:${gateway.address().port}`, "--listen", `127.0.0.1:${port}`, ...more],
], { env: { ...process.env, TRANSCEND_KEY: "transcend-key", COURIER_KEY: key, SIGNING_SECRET: secret }, stdio: ["ignore", "pipe", "inherit"] });

/** Sends a webhook; the status of its answer. */
async function webhook(id, nonce, signed, changes = {}) {
  const body = { ...JSON.parse(readFileSync(new URL("webhook.json", import.meta.url))), ...changes };
  body.extras.request.id = id;
  const headers = { "content-type": "application/json", "x-sombra-token": signed, "x-transcend-nonce": nonce };
  return (await fetch(`http://127.0.0.1:${port}/transcend`, { method: "POST", headers, body: JSON.stringify(body) })).status;
}

try {
  await once(bridge.stdout, "data");
  const id = randomUUID();
  assert.equal(await webhook(id, "n", token({}, other)), 401, "another key");
  assert.equal(await webhook(id, "n", token({ aud: "fabrikam" })), 401, "another audience");
  assert.equal(await webhook(id, "n", token({ scope: "enricher" })), 401, "another scope");
  assert.equal(await webhook(id, "n", token({ value: "diego@contoso.example" })), 422, "no object id");
  assert.equal(await webhook(id, "n", token(), { type: "ERASURE" }), 400, "an erasure");
  assert.deepEqual(readdirSync(data), [], "nothing is kept of what was refused");
  assert.equal(await webhook(id, "first", token()), 200);
  assert.equal(await webhook(id, "second", token()), 200, "Transcend sends it again");
  while (told.length < 2) await new Promise((resolve) => setTimeout(resolve, 100));
  for (const [method, url, authorization, nonce, body] of told) {
    assert.deepEqual([method, url, authorization, nonce], ["POST", "/v1/data-silo", "Bearer transcend-key", "second"]);
    const { storageLocation } = body.profiles[0].profileData.microsoft365Export;
    assert.equal(new URL(storageLocation).search, "", "the container, and no signature");
    assert.equal(body.profiles[0].profileId, PERSON);
    assert.equal(body.status, "READY");
  }
  const forged = await fetch(`http://127.0.0.1:${port}/courier`, { method: "POST", body: "{}", headers: { "webhook-id": "a" } });
  assert.equal(forged.status, 401);
  while (readdirSync(data).length) await new Promise((resolve) => setTimeout(resolve, 50));
  console.log("asked, asked again, reported and refused as it should be");
} finally {
  bridge.kill();
  gateway.close();
  rmSync(data, { recursive: true });
}
