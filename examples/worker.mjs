// A worker of one instrument over REST, in JavaScript. It needs Node.js 18 or later, and no package.
//
//   node worker.mjs http://127.0.0.1:8000 SESSION_ID [WORKER]
//
// ALCHEMY_TOKEN holds a token where the server wants one. With UNTIL_EMPTY=1 it ends when nothing is left
// to do. Ctrl-C lets it finish what it measures. Replace measure(); everything else may stay.

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

const [server, session, worker = "node-1"] = process.argv.slice(2);
if (!session) {
  console.error("usage: node worker.mjs URL SESSION_ID [WORKER]");
  process.exit(2);
}
const url = `${server}/api/v1/sessions/${session}/experiments/staged`;
const untilEmpty = Boolean(process.env.UNTIL_EMPTY);
const leaseS = 60;
let isStopping = false;
for (const name of ["SIGINT", "SIGTERM"]) process.on(name, () => { isStopping = true; });

/** Measure at the inputs of an experiment; return a number, or throw to report a failure. */
async function measure(inputs) {
  return -((inputs.x - 0.3) ** 2) - (inputs.y - 0.7) ** 2;
}

/** Send a request until it is answered, always under the same key: whether it arrived before is the server's to know. */
async function send(path, body, limitS = 60) {
  const headers = { "Content-Type": "application/json", "Idempotency-Key": randomUUID() };
  if (process.env.ALCHEMY_TOKEN) headers.Authorization = `Bearer ${process.env.ALCHEMY_TOKEN}`;
  for (;;) {
    let answer;
    try {
      answer = await fetch(`${url}/${path}`, {
        method: "POST", headers, body: JSON.stringify(body), signal: AbortSignal.timeout(1000 * limitS),
      });
      if (answer.ok) return await answer.json();
    } catch {
      answer = undefined; // nobody there, or the line broke
    }
    if (answer && answer.status !== 429 && answer.status < 500) {
      throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    }
    await sleep(1000);
  }
}

/** Measure while heartbeats keep the lease; return the path and body of the report. */
async function outcomeOf(experiment) {
  const mine = { worker, attempt: experiment.attempt };
  const beat = () => send(`${experiment.id}/heartbeat`, mine, 10).catch((error) => console.error(String(error)));
  const beats = setInterval(beat, (1000 * leaseS) / 4);
  try {
    return ["complete", { ...mine, output: await measure(experiment.inputs) }];
  } catch (error) {
    return ["fail", { ...mine, kind: "measure", message: String(error) }];
  } finally {
    clearInterval(beats);
  }
}

while (!isStopping) {
  const { experiments } = await send("claim", { n: 1, worker, lease_s: leaseS, wait_s: untilEmpty ? 0 : 20 });
  if (experiments.length === 0 && untilEmpty) break;
  for (const experiment of experiments) {
    const [end, body] = await outcomeOf(experiment);
    await send(`${experiment.id}/${end}`, body).catch((error) => console.error(String(error)));
    console.log(experiment.id, end, body.output ?? "");
  }
}
process.exit(0);
