// Test code that emulates, with Node's vm, the parts of ServiceNow that the scripts of docs/callers need.
// The input { script, call } calls a function; { script, cases } delivers each case twice to a Scripted REST resource.
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import vm from "node:vm";

const input = JSON.parse(readFileSync(0, "utf8"));
const base64Encode = (text) => Buffer.from(text).toString("base64");

class Encryption {
  generateMac(key, algorithm, data) {
    if (algorithm !== "HmacSHA256") throw new Error(algorithm);
    return createHmac("sha256", Buffer.from(key, "base64")).update(data).digest("base64");
  }
}

/** Returns a request whose body is a stream: a second read returns an empty text. */
function request({ headers, body }) {
  let left = body;
  return {
    getHeader: (name) => headers[name.toLowerCase()] ?? null,
    body: {
      get dataString() {
        const text = left;
        left = "";
        return text;
      },
    },
  };
}

function deliver(one) {
  const task = { fields: {}, updates: 0 };
  class GlideRecord {
    get(field, value) {
      return field === "number" && value === one.number;
    }
    getValue(field) {
      return task.fields[field] ?? null;
    }
    setValue(field, value) {
      task.fields[field] = value;
    }
    update() {
      task.updates += 1;
    }
  }
  const gs = { base64Encode, getProperty: (name, otherwise) => one.properties[name] ?? otherwise };
  const GlideStringUtil = { base64Encode };
  function Date() {
    this.getTime = () => one.now * 1000;
  }
  const answer = {};
  const response = { setStatus: (status) => (answer.status = status), setBody: (body) => (answer.message = body.message) };
  const scope = one.global
    ? { GlideCertificateEncryption: Encryption, GlideStringUtil, gs: { getProperty: gs.getProperty } }
    : { CertificateEncryption: Encryption, gs };
  for (let time = 0; time < 2; time += 1) {
    const context = { ...scope, GlideRecord, Date, response, request: request(one) };
    vm.runInNewContext(input.script, context);
  }
  return { ...answer, updates: task.updates, note: task.fields.work_notes ?? null };
}

function call(name, values) {
  const sent = { headers: {} };
  class RESTMessageV2 {
    constructor(message, method) {
      Object.assign(sent, { message, method });
    }
    setRequestHeader(header, value) {
      sent.headers[header] = value;
    }
    setRequestBody(body) {
      sent.body = body;
    }
    execute() {
      return { getStatusCode: () => 202, getBody: () => '{"id":"op_1"}' };
    }
  }
  const context = vm.createContext({ sn_ws: { RESTMessageV2 } });
  vm.runInContext(input.script, context);
  const returned = context[name](...values);
  return { ...sent, returned };
}

const result = input.call ? call(...input.call) : input.cases.map(deliver);
process.stdout.write(JSON.stringify(result));
