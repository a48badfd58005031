// Verifies a callback of graph-courier, signed as Standard Webhooks 1.0 says. Node 18 or newer, nothing to install.
import { createHmac, timingSafeEqual } from "node:crypto";

const WINDOW_SECONDS = 5 * 60;

/** Why a request must not be believed. */
export class Refused extends Error {}

/** Returns the event in `body` (a Buffer with the bytes as they came) if one of the whsec_ secrets has signed it now. */
export function verify(body, headers, secrets, now = Date.now() / 1000) {
  const lower = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
  const [id, sentAt, signatures] = ["webhook-id", "webhook-timestamp", "webhook-signature"].map((name) => {
    if (!lower.get(name)) throw new Refused(`${name} is missing`);
    return lower.get(name);
  });
  const offered = signatures.split(" ").map((signature) => Buffer.from(signature));
  const fits = secrets.some((secret) => {
    const hmac = createHmac("sha256", Buffer.from(secret.slice("whsec_".length), "base64"));
    const expected = Buffer.from(`v1,${hmac.update(`${id}.${sentAt}.`).update(body).digest("base64")}`);
    return offered.some((signature) => signature.length === expected.length && timingSafeEqual(signature, expected));
  });
  if (!fits) throw new Refused("no signature fits");
  if (!(Math.abs(now - Number(sentAt)) <= WINDOW_SECONDS)) throw new Refused("it was not sent within the last 5 minutes");
  return JSON.parse(body.toString("utf8"));
}
