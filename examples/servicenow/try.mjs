// Runs the scripts of this folder, in Node with stand-ins for ServiceNow's classes, against a real graph-courier. README.md says how.
//
//   node try.mjs COURIER_URL API_KEY SIGNING_SECRET CALLBACK_PORT
import { execFileSync } from "node:child_process";
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import vm from "node:vm";

const [courier, key, secret, port] = process.argv.slice(2);
const read = (path) => readFileSync(new URL(path, import.meta.url), "utf8");
const properties = { "x_dsar.courier.callback_url": `http://127.0.0.1:${port}/graph`, "x_dsar.courier.signing_secrets": secret };
const tasks = new Map();

/** What the methods of the REST message `graph-courier` are set to. */
const methods = { start: ["POST", "/v1/operations"], find: ["GET", "/v1/operations"], cancel: ["POST", "/v1/operations/${id}/cancel"] };

class RESTMessageV2 {
  constructor(message, method) {
    if (message !== "graph-courier") throw new Error(message);
    const [verb, path] = methods[method];
    Object.assign(this, { verb, path, headers: { "x-api-key": key }, query: new URLSearchParams(), body: undefined });
  }
  setRequestHeader(name, value) { this.headers[name] = value; }
  setRequestBody(body) { this.body = body; }
  setQueryParameter(name, value) { this.query.set(name, value); }
  setStringParameter(name, value) { this.path = this.path.replace(`\${${name}}`, value); }
  setHttpTimeout() {}
  execute() {
    // Scripts of ServiceNow wait for the answer, so another process asks.
    const ask = `const [url, options] = JSON.parse(process.argv[1]); const answer = await fetch(url, options);
      console.log(JSON.stringify({ status: answer.status, headers: Object.fromEntries(answer.headers), body: await answer.text() }));`;
    const options = { method: this.verb, headers: this.headers, body: this.body };
    const query = this.query.size ? `?${this.query}` : "";
    const words = JSON.stringify([courier + this.path + query, options]);
    const answer = JSON.parse(execFileSync(process.execPath, ["--input-type=module", "-e", ask, words], { stdio: ["ignore", "pipe", "ignore"] }));
    return { getStatusCode: () => answer.status, getBody: () => answer.body, getHeader: (name) => answer.headers[name.toLowerCase()] ?? null };
  }
}

class GlideRecord {
  get(field, value) {
    this.task = field === "number" ? tasks.get(value) : undefined;
    return this.task !== undefined;
  }
  getValue(field) { return this.task[field] ?? null; }
  setValue(field, value) { this.task[field] = value; }
  update() { this.task.updates = (this.task.updates ?? 0) + 1; }
}

class CertificateEncryption {
  generateMac(key, algorithm, data) {
    if (algorithm !== "HmacSHA256") throw new Error(algorithm);
    return createHmac("sha256", Buffer.from(key, "base64")).update(data).digest("base64");
  }
}

/** Prototype's Class.create, which ServiceNow has. */
const Class = { create: () => function () { this.initialize.apply(this, arguments); } };
const gs = { getProperty: (name, otherwise) => properties[name] ?? otherwise };
const platform = { Class, gs, sn_ws: { RESTMessageV2 }, GlideRecord, CertificateEncryption, Date };

const application = vm.createContext({ ...platform });
vm.runInContext(read("GraphCourier.js"), application);
const run = (script, variables) => vm.runInNewContext(read(script), { ...platform, x_dsar: application, ...variables });

function action(script, inputs) {
  const outputs = {};
  run(script, { inputs, outputs });
  return outputs;
}

const receiver = createServer(async (request, answer) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  let status = 500;
  const response = { setStatus: (code) => (status = code), setBody: () => {} };
  const getHeader = (name) => request.headers[name.toLowerCase()] ?? null;
  run("../../docs/callers/verify/servicenow.js", { request: { getHeader, body: { dataString: Buffer.concat(parts).toString() } }, response });
  answer.writeHead(status).end();
});

function expect(what, found, wanted) {
  if (JSON.stringify(found) !== JSON.stringify(wanted)) throw new Error(`${what}: ${JSON.stringify(found)}, expected ${JSON.stringify(wanted)}`);
  console.log(`${what}: as it should be`);
}

const container = (name, end = "2099-01-01T00:00:00Z") =>
  `https://contoso.blob.core.windows.net/${name}?sv=2024-11-04&sr=c&sp=acw&se=${end}&sig=YW4gZXhhbXBsZSBzaWduYXR1cmUgb2YgMzIgYnl0ZXM%3D`;
const person = "6e7b768e-07e2-4810-8459-485f84f8f204";
const number = `RITM${Date.now()}`;
await new Promise((listening) => receiver.listen(Number(port), "127.0.0.1", listening));
tasks.set(number, {});

const inputs = { number, person, container: container(number.toLowerCase()) };
const taken = { taken: true, again: 0, detail: "" };
expect("asked", action("ask.action.js", inputs), taken);
expect("asked again", action("ask.action.js", inputs), taken);
const refused = action("ask.action.js", { number: `${number}-2`, person, container: container("short", "2027-01-01T00:00:00") + "&ss=b" });
expect("refused", [refused.taken, refused.again, /^400 .+\n\/parameters\/storageLocation: must /.test(refused.detail)], [false, 0, true]);
expect("no secret in what people read", refused.detail.includes("sig="), false);
while (!tasks.get(number).correlation_id) await new Promise((later) => setTimeout(later, 100));
const { correlation_display, work_notes, updates } = tasks.get(number);
expect("told", [correlation_display, work_notes, updates], ["succeeded", "Microsoft 365, user.exportPersonalData: succeeded", 1]);
expect("looked at", action("find.action.js", { number }), { state: "succeeded", detail: "" });

const current = { fields: { number }, getValue: (name) => current.fields[name], setValue: (name, value) => (current.fields[name] = value), update() {} };
run("cancelled.rule.js", { current, previous: {} });
expect("cancelled after its end", current.fields.work_notes, undefined);
current.fields.number = `${number}-3`;
tasks.set(`${number}-3`, {});
expect("another", action("ask.action.js", { ...inputs, number: `${number}-3`, container: container(`${number}-3`.toLowerCase()) }), taken);
run("cancelled.rule.js", { current, previous: {} });
expect("cancelled", current.fields.work_notes, "graph-courier no longer follows the export");
receiver.close();
receiver.closeAllConnections();
