import { expect, test } from "vitest";
import type { Client } from "./client.js";
import { clientPool } from "./clientPool.js";
import type { Request, SessionSpec } from "./protocol.js";

const LOAD = { kind: "load", spec: {} as SessionSpec } as const;
const STORES = { weights: [], gradients: [], outputs: [], fillsOutputs: false };

/** Workers that answer when they are told to, each numbering its sessions from 1. */
function workers() {
  const asked: { readonly worker: number; readonly request: Request; answer(): void }[] = [];
  const ended: number[] = [];
  let started = 0;
  const start = (): Client => {
    const worker = started++;
    let sessions = 0;
    const request = (request: Request): Promise<unknown> =>
      new Promise((resolve) => {
        const answer = () => resolve(request.kind === "load" ? { session: ++sessions } : {});
        asked.push({ worker, request, answer });
      });
    return {
      request: request as Client["request"],
      async terminate() {
        ended.push(worker);
      },
    };
  };
  return { asked, ended, start, started: () => started };
}

const turn = () => new Promise((done) => setTimeout(done));

test("programs that are asked for one after another live with one worker", async () => {
  const { asked, start, started } = workers();
  const pool = clientPool(start, 3);
  for (const k of [0, 1]) {
    const load = pool.request(LOAD);
    asked[k]!.answer();
    await load;
  }
  expect(started()).toBe(1);
});

test("programs that are asked for at once are loaded side by side, by as many workers as there may be", () => {
  const { asked, start } = workers();
  const pool = clientPool(start, 2);
  for (let k = 0; k < 3; k++) void pool.request(LOAD);
  expect(asked.map(({ worker }) => worker)).toEqual([0, 1, 0]);
});

test("programs run in turn, each where it was loaded, and are freed after that", async () => {
  const { asked, start } = workers();
  const pool = clientPool(start, 2);
  const loads = [pool.request(LOAD), pool.request(LOAD)];
  for (const { answer } of asked.splice(0)) answer();
  const [a, b] = (await Promise.all(loads)).map(({ session }) => session);
  expect(a).not.toBe(b);
  for (const session of [b!, a!]) void pool.request({ kind: "run", session, feeds: {} });
  void pool.request({ kind: "release", session: a! });
  const order: unknown[] = [];
  for (let k = 0; k < 3; k++) {
    await turn();
    expect(asked).toHaveLength(1);
    const { worker, request, answer } = asked.shift()!;
    order.push([worker, request.kind, "session" in request && request.session]);
    answer();
  }
  expect(order).toEqual([
    [1, "run", 1],
    [0, "run", 1],
    [0, "release", 1],
  ]);
});

test("a run that fails lets the next one begin", async () => {
  const { asked, start } = workers();
  const refusing = (): Client => {
    const client = start();
    const request = (request: Request) =>
      request.kind === "run" ? Promise.reject(new Error("no")) : client.request(request);
    return { ...client, request: request as Client["request"] };
  };
  const pool = clientPool(refusing, 1);
  const load = pool.request(LOAD);
  asked.shift()!.answer();
  const { session } = await load;
  const run = { kind: "run", session, feeds: {} } as const;
  await expect(pool.request(run)).rejects.toThrow("no");
  await expect(pool.request(run)).rejects.toThrow("no");
});

test("stores and their sessions stay together", () => {
  const { asked, start } = workers();
  const pool = clientPool(start, 2);
  void pool.request(LOAD);
  void pool.request({ ...LOAD, stores: STORES });
  void pool.request({ kind: "startStore", store: 1 });
  expect(asked.map(({ worker }) => worker)).toEqual([0, 0, 0]);
});

test("all workers end with it", async () => {
  const { ended, start } = workers();
  const pool = clientPool(start, 2);
  void pool.request(LOAD);
  void pool.request(LOAD);
  await pool.terminate();
  expect(ended).toEqual([0, 1]);
});
