// Asks graph-courier for a person's export and waits for its end, with types that were generated from the OpenAPI document.
//
//   node export.ts TICKET PERSON < container-url                   # asks again and again
//   node export.ts TICKET PERSON 9099 < container-url              # waits to be called back at this port
//
// README.md says how the types are generated. Environment: COURIER_URL, COURIER_API_KEY, and for a port COURIER_SIGNING_SECRET.
// Exit code: 0 succeeded, 3 ended otherwise, 1 it was refused. Node 22.18 or newer runs it as it is.
import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import { setTimeout } from "node:timers/promises";
import createClient from "openapi-fetch";
import { Webhook, WebhookVerificationError } from "standardwebhooks";
import type { components, paths } from "./courier.d.ts";

type Operation = components["schemas"]["Operation"];
type Request = components["schemas"]["UserExportPersonalData"];
type Completion = components["schemas"]["Completion"];
type Problem = components["schemas"]["Problem"];
type Answer = { data?: Operation; error?: Problem; response: Response };

const environment = (name: string): string => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
};

const courier = createClient<paths>({
  baseUrl: environment("COURIER_URL"),
  headers: { "X-Api-Key": environment("COURIER_API_KEY") },
});

/** A problem document that no waiting heals. */
class Refused extends Error {}

/** Returns the operation of an answer, or nothing after the pause that it asks for; nothing, too, if no answer came. */
async function read(asked: Promise<Answer>): Promise<Operation | undefined> {
  let answer: Answer;
  try {
    answer = await asked;
  } catch (error) {
    console.error(`no answer (${error}): the same again, which starts nothing twice`);
    await setTimeout(5_000);
    return undefined;
  }
  const { data, error, response } = answer;
  if (data) return data;
  if (response.status === 429 || response.status === 503) {
    await setTimeout(Number(response.headers.get("retry-after") ?? 5) * 1_000);
    return undefined;
  }
  if (!error) throw new Refused(`${response.status}, which is no answer of graph-courier's`);
  const rules = (error.errors ?? []).map((one) => `${one.pointer ?? one.header ?? one.parameter}: ${one.rule}`);
  throw new Refused([error.title, error.detail, ...rules].filter(Boolean).join("\n"));
}

/** Starts the export once, however often the request has to be sent. */
async function ask(body: Request): Promise<Operation> {
  for (;;) {
    const operation = await read(courier.POST("/v1/operations", { body, params: { header: { Prefer: "respond-async" } } }));
    if (operation) return operation;
  }
}

/** Asks until the operation has ended. Each call waits at the server for as long as it may. */
async function follow(operation: Operation): Promise<Operation> {
  const params = { path: { id: operation.id }, header: { Prefer: "wait=25" } };
  while (!operation.endedAt) {
    const pause = setTimeout(5_000);
    operation = (await read(courier.GET("/v1/operations/{id}", { params }))) ?? operation;
    if (!operation.endedAt) await pause;
  }
  return operation;
}

/** Waits until the completion of this operation arrives, and believes only what is signed. */
function listen(port: number, id: string): Promise<Operation> {
  const webhook = new Webhook(environment("COURIER_SIGNING_SECRET"));
  return new Promise((arrived) => {
    const server = createServer(async (request, answer) => {
      const body = await text(request);
      let status = 204;
      try {
        const { data } = webhook.verify(body, request.headers as Record<string, string>) as Completion;
        if (data.id === id) {
          server.close();
          arrived(data);
        }
      } catch (error) {
        if (!(error instanceof WebhookVerificationError)) throw error;
        console.error(`refused: ${error.message}`);
        status = 401;
      }
      answer.writeHead(status, { connection: "close" }).end();
    });
    server.listen(port, "127.0.0.1");
  });
}

async function main(): Promise<number> {
  const [ticket, person, port] = process.argv.slice(2);
  if (!ticket || !person) throw new Error("node export.ts TICKET PERSON [PORT] < container-url");
  // The container's URL is a secret, so it is no argument.
  const container = (await text(process.stdin)).trim();
  let operation = await ask({
    operation: "user.exportPersonalData",
    parameters: { userId: person, storageLocation: container },
    reference: ticket,
    ...(port ? { callback: { url: `http://127.0.0.1:${port}/graph` } } : {}),
  });
  console.error(operation.id, operation.status);
  operation = port && !operation.endedAt ? await listen(Number(port), operation.id) : await follow(operation);
  console.log(operation.status, operation.reason ?? "", JSON.stringify(operation.result));
  return operation.status === "succeeded" ? 0 : 3;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof Refused)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
