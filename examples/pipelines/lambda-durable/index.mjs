// A durable Lambda function that asks graph-courier for an operation and sleeps until it has ended, for weeks if need be.
//
// The runtimes nodejs22.x and nodejs24.x bring the SDK. Variables: COURIER_URL, COURIER_KEY (of a secret), CALLBACK_URL, which is
// https://lambda.REGION.amazonaws.com, and WAIT_DAYS. docs/pipelines/lambda-durable.md has the rest.
import { CallbackExternalError, withDurableExecution } from "@aws/durable-execution-sdk-js";

/** Asks for an operation whose completion ends the wait of this id. Asked again with the same id, it is the same operation. */
async function ask({ operation, parameters, reference, legal }, token) {
  const answer = await fetch(`${process.env.COURIER_URL}/v1/operations`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-api-key": process.env.COURIER_KEY, prefer: "respond-async" },
    body: JSON.stringify({ operation, parameters, reference, legal, callback: { url: process.env.CALLBACK_URL, token } }),
    signal: AbortSignal.timeout(20_000),
  });
  if (answer.status !== 200 && answer.status !== 202) {
    const problem = await answer.json().catch(() => ({}));
    throw Object.assign(new Error(`graph-courier answered ${answer.status} ${problem.type ?? ""}`), { status: answer.status });
  }
}

/** Nobody answered, or not now: asked again. Whatever is refused stays refused. */
function again({ status }, attempt) {
  const retry = status === undefined || status === 429 || status >= 500;
  return { shouldRetry: retry && attempt < 10, delay: { seconds: Math.min(5 * 2 ** attempt, 900) } };
}

/** The error by which the execution ends where the operation has not succeeded: its name is the operation's status. */
function ended(error) {
  if (!(error instanceof CallbackExternalError) || !error.errorData) return error;
  const { id, status } = JSON.parse(error.errorData);
  return Object.assign(new Error(`${id} ended as ${status}`), { name: status });
}

export const handler = withDurableExecution(async (event, context) => {
  // An export is followed for 31 days. Every end but success rejects the wait.
  const wait = { timeout: { days: Number(process.env.WAIT_DAYS ?? 33) }, retryStrategy: again };
  let operation;
  try {
    operation = JSON.parse(await context.waitForCallback("ended", (id) => ask(event, id), wait));
  } catch (error) {
    throw ended(error);
  }
  context.logger.info("ended", { id: operation.id, status: operation.status });
  // Your next steps go here, each as a context.step: fetch the files, tell the person, close the ticket.
  return operation;
});
