// Answers Transcend's access requests with exports by graph-courier.
//
//     TRANSCEND_KEY=… COURIER_KEY=… SIGNING_SECRET=whsec_… node bridge.mjs --courier https://courier.example \
//         --public https://bridge.example --audience contoso --data /var/lib/bridge --parameter storage=dsar-eu
//
// Node 20 or newer, nothing to install; verify.mjs (docs/callers/verify) lies beside it or where the repository has it. What it has to
// know weeks later, Transcend's nonce, is a file in --data. docs/pipelines/transcend.md has the rest.
import { createHash, createPublicKey, verify as verifySignature } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { parseArgs } from "node:util";

const beside = new URL("verify.mjs", import.meta.url);
const { verify, Refused: Forged } = await import(existsSync(beside) ? beside : new URL("../../../docs/callers/verify/verify.mjs", import.meta.url));

const OPERATION = "user.exportPersonalData";
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const MAX_BODY = 1 << 20;
const PUBLIC_KEY = "/public-keys/sombra-general-signing-key";

/** An answer other than success, and why. */
class Refused extends Error {
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }
}

const { values: options } = parseArgs({
  options: {
    courier: { type: "string" },
    public: { type: "string" },
    audience: { type: "string" },
    data: { type: "string" },
    sombra: { type: "string", default: "https://multi-tenant.sombra.transcend.io" },
    parameter: { type: "string", multiple: true, default: [] },
    datapoint: { type: "string", default: "microsoft365Export" },
    regulation: { type: "string", default: "gdpr" },
    "time-zone": { type: "string", default: "Europe/Berlin" },
    listen: { type: "string", default: "127.0.0.1:8091" },
  },
});
for (const name of ["courier", "public", "audience", "data"]) if (!options[name]) throw new Error(`--${name} is required`);
const { TRANSCEND_KEY, SOMBRA_KEY, COURIER_KEY, SIGNING_SECRET } = process.env;
const parameters = Object.fromEntries(options.parameter.map((text) => [text.slice(0, text.indexOf("=")), text.slice(text.indexOf("=") + 1)]));

/** Sends a request; the answer's status and parsed body, whatever the status. */
async function call(method, url, headers, body) {
  try {
    const answer = await fetch(url, {
      method,
      headers: { "content-type": "application/json", ...headers },
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(20_000),
    });
    const text = await answer.text();
    return { status: answer.status, body: text.startsWith("{") ? JSON.parse(text) : text };
  } catch {
    throw new Refused(503, `${new URL(url).host} does not answer`);
  }
}

const transcend = (method, path, headers, body) =>
  call(method, options.sombra + path, {
    authorization: `Bearer ${TRANSCEND_KEY}`,
    ...(SOMBRA_KEY && { "x-sombra-authorization": `Bearer ${SOMBRA_KEY}` }),
    ...headers,
  }, body);

let publicKey;
let fetchedAt = 0;

/** The claims of x-sombra-token, a JWT signed with ES384 by Transcend's gateway. */
async function claims(token) {
  const [head, payload, signature, ...more] = String(token).split(".");
  const part = (text) => JSON.parse(Buffer.from(text, "base64url"));
  try {
    if (more.length || part(head).alg !== "ES384") throw new Error();
    if (!publicKey) {
      fetchedAt = Date.now();
      const answer = await transcend("GET", PUBLIC_KEY);
      if (answer.status !== 200) throw new Refused(503, `Transcend gives no key: ${answer.status}`);
      publicKey = createPublicKey(answer.body);
    }
    const key = { key: publicKey, dsaEncoding: "ieee-p1363" };
    if (!verifySignature("sha384", Buffer.from(`${head}.${payload}`), key, Buffer.from(signature, "base64url"))) {
      // It may have been replaced: a later webhook fetches it anew.
      if (Date.now() - fetchedAt > 60_000) publicKey = undefined;
      throw new Error();
    }
  } catch (error) {
    throw error instanceof Refused ? error : new Refused(401, "this is not Transcend");
  }
  const found = part(payload);
  const audiences = [found.aud].flat();
  if (!audiences.includes(options.audience) || found.scope !== "coreIdentifier") throw new Refused(401, "a token for something else");
  return found;
}

const place = (reference) => join(options.data, createHash("sha256").update(reference).digest("hex"));

/** Asks graph-courier for the export that an access request needs. A repeat asks for the same operation. */
async function ask(headers, told) {
  const { value: userId } = await claims(headers["x-sombra-token"]);
  if (told.type !== "ACCESS") throw new Refused(400, `${told.type} is not answered here`);
  // The token signs the core identifier and nothing else, so whose data it is about is taken from there.
  if (!UUID.test(userId)) throw new Refused(422, "the core identifier is no object id of Entra");
  const { request } = told.extras;
  const reference = String(request.id ?? request.link);
  const file = place(reference);
  await writeFile(`${file}.new`, JSON.stringify({ nonce: headers["x-transcend-nonce"], userId }), { mode: 0o600, flush: true });
  await rename(`${file}.new`, file);
  const received = request.createdAt && options.regulation;
  const body = {
    operation: OPERATION,
    parameters: { userId, ...parameters },
    callback: { url: `${options.public}/courier` },
    reference,
    ...(received && { legal: { regulation: options.regulation, receivedAt: request.createdAt, timeZone: options["time-zone"] } }),
  };
  const answer = await call("POST", `${options.courier}/v1/operations`, { "x-api-key": COURIER_KEY, prefer: "respond-async" }, body);
  if (answer.status !== 200 && answer.status !== 202) {
    const broken = (answer.body.errors ?? []).map((error) => `${error.pointer} ${error.rule}`).join("; ");
    throw new Refused(502, `graph-courier answered ${answer.status} ${answer.body.type ?? ""} ${broken}`);
  }
}

/** Tells Transcend how the export of a request has ended. */
async function report({ data }) {
  const file = place(data.reference);
  const kept = await readFile(file, "utf8").catch(() => undefined);
  if (data.operation !== OPERATION || !kept) return; // It was told before.
  const { nonce, userId } = JSON.parse(kept);
  const headers = { "x-transcend-nonce": nonce };
  const done = { profileId: userId, profileData: { [options.datapoint]: data.result } };
  const told = data.status === "succeeded"
    ? await transcend("POST", "/v1/data-silo", headers, { profiles: [done], status: "READY" })
    : await transcend("PUT", "/v1/data-silo", headers, { status: "ACTION_REQUIRED", message: `${data.id} ended as ${data.status}` });
  // 409: the request is closed or revoked, so nobody waits any more.
  if (told.status !== 200 && told.status !== 409) throw new Refused(503, `Transcend answered ${told.status}`);
  await rm(file);
  console.log(`${data.reference}: ${data.status}`);
}

async function bodyOf(request) {
  const chunks = [];
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    if (length > MAX_BODY) throw new Refused(413, "the body is too large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function handle(request) {
  const body = await bodyOf(request);
  if (request.method === "POST" && request.url === "/transcend") return ask(request.headers, JSON.parse(body));
  if (request.method === "POST" && request.url === "/courier") return report(verify(body, request.headers, SIGNING_SECRET.split(" ")));
  throw new Refused(404, "there is nothing here");
}

await mkdir(options.data, { recursive: true, mode: 0o700 });
const server = createServer(async (request, response) => {
  let status = 200;
  try {
    await handle(request);
  } catch (error) {
    status = error instanceof Forged ? 401 : error.status ?? 400;
    console.error(`${request.url}: ${status} ${error.status || error instanceof Forged ? error.message : error.name}`);
  }
  response.writeHead(status, { "content-length": 0 }).end();
});
const [host, port] = options.listen.split(":");
server.listen(Number(port), host, () => console.log(`listening at http://${host}:${server.address().port}`));
