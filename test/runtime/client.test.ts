import { spawn } from "node:child_process";
import { rm, truncate, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterEach, describe, expect, test } from "vitest";
import { symbol } from "../../src/graph/dim.js";
import { graphOf } from "../../src/graph/graph.js";
import * as op from "../../src/graph/ops.js";
import { startNodeWorker } from "../../src/platform/node/worker.js";
import type { Port, WorkerHandle } from "../../src/platform/worker.js";
import { type Client, connect } from "../../src/runtime/client.js";
import { engine } from "../../src/runtime/engine.js";
import type { ReplyMessage, SessionSpec } from "../../src/runtime/protocol.js";
import { hostSessions, type OrtModule } from "../../src/runtime/sessionHost.js";
import { deviceSetup } from "../../src/runtime/setups.js";
import { full } from "../../src/tensor/tensor.js";
import { TintypeError } from "../../src/util/errors.js";
import { network, openWeights, scratch, watchedEngine, writeWeights, X } from "./support.js";

const SPEC: SessionSpec = {
  model: new Uint8Array(8),
  blobs: [],
  provider: "cpu",
  threads: 1,
  optimization: "all",
  config: {},
  saveTo: undefined,
  profile: undefined,
};

const clients: Client[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) await client.terminate();
});

function connected(module: string): Client {
  const client = connect(startNodeWorker(new URL(module, import.meta.url)));
  clients.push(client);
  return client;
}

const failure = async (promise: Promise<unknown>): Promise<TintypeError> => {
  const error = await promise.then(
    () => new Error("it did not fail"),
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(TintypeError);
  return error as TintypeError;
};

describe("a worker that dies", () => {
  test("fails all that waits for it, and all that is asked later", async () => {
    const client = connected("./doomedWorker.js");
    const ask = (session: number) => client.request({ kind: "run", session, feeds: {} });
    for (const error of await Promise.all([ask(1), ask(2), ask(3)].map(failure))) {
      expect(error.code).toBe("device");
      expect(error.message).toMatch(
        /worker died .*code 3.*a smaller picture or batch, or --low-memory/,
      );
    }
    expect((await failure(ask(4))).message).toMatch(/worker died/);
  });

  test("of an error tells which", async () => {
    const client = connected("./doomedWorker.js");
    const error = await failure(client.request({ kind: "load", spec: SPEC }));
    expect(error.message).toContain("thrown in the worker");
    await new Promise((done) => setTimeout(done, 50)); // its exit follows
    const later = await failure(client.request({ kind: "release", session: 1 }));
    expect(later.message).toContain("thrown in the worker");
  });

  test("that has no such module", async () => {
    const client = connected("./nowhere.js");
    const error = await failure(client.request({ kind: "release", session: 1 }));
    expect(error.message).toMatch(/worker died .*nowhere/);
  });
});

/** A graph that takes a while: repeated products of square matrices. */
function heavy(times: number) {
  const x = op.input("x", [1024, 1024]);
  let y = x;
  for (let i = 0; i < times; i++) y = op.tanh(op.matmul(y, x));
  return graphOf({ y });
}
const square = full([1024, 1024], 1e-3);

describe("an engine", () => {
  test("leaves the event loop free while a graph runs", async () => {
    await using folder = await scratch();
    await using on = watchedEngine(folder.path);
    await using program = await on.load(heavy(20), new Map(), { label: "heavy" });
    let ticks = 0;
    const timer = setInterval(() => ticks++, 2);
    const started = performance.now();
    await program.run({ x: square });
    const took = performance.now() - started;
    clearInterval(timer);
    expect(took).toBeGreaterThan(50);
    expect(ticks).toBeGreaterThan(took / 20);
  });

  test("that is closed while it runs fails what runs, and disposes without an error", async () => {
    await using folder = await scratch();
    const on = watchedEngine(folder.path);
    const program = await on.load(heavy(40), new Map(), { label: "heavy" });
    const running = failure(program.run({ x: square }));
    await new Promise((done) => setTimeout(done, 60)); // it is inside the engine now
    await on[Symbol.asyncDispose]();
    expect((await running).code).toBe("aborted");
    expect((await failure(program.run({ x: square }))).code).toBe("aborted");
    await program[Symbol.asyncDispose]();
    await on[Symbol.asyncDispose]();
  });

  test("runs what is asked at once one after the other, each with its own answer", async () => {
    await using folder = await scratch();
    await using on = watchedEngine(folder.path);
    const x = op.input("x", [symbol("n")]);
    await using program = await on.load(graphOf({ y: op.add(x, 1) }), new Map(), { label: "one" });
    const sizes = Array.from({ length: 20 }, (_, i) => i + 1);
    const answers = await Promise.all(sizes.map((n) => program.run({ x: full([n], n) })));
    expect(answers.map(({ y }) => [y!.shape[0], y!.data[0]])).toEqual(sizes.map((n) => [n, n + 1]));
  });

  test("frees a program's session, which then no longer runs", async () => {
    await using folder = await scratch();
    await using on = watchedEngine(folder.path);
    const x = op.input("x", [1]);
    const program = await on.load(graphOf({ y: op.neg(x) }), new Map(), { label: "one" });
    await program[Symbol.asyncDispose]();
    await program[Symbol.asyncDispose]();
    await expect(program.run({ x: full([1], 1) })).rejects.toThrow(/no session/);
  });

  test("gives one value under two names twice", async () => {
    await using folder = await scratch();
    await using on = watchedEngine(folder.path);
    const y = op.neg(op.input("x", [2]));
    await using program = await on.load(graphOf({ a: y, b: y }), new Map(), { label: "twice" });
    const { a, b } = await program.run({ x: full([2], 3) });
    expect([...a!.data, ...b!.data]).toEqual([-3, -3, -3, -3]);
  });

  test("lets a process end that forgot to close it, but not before its answer", async () => {
    const support = pathToFileURL(fileURLToPath(new URL("./support.ts", import.meta.url))).href;
    await using folder = await scratch();
    const script = join(folder.path, "forgetful.mts");
    const weights = join(folder.path, "w");
    await writeFile(
      script,
      `import { runOnce, watchedEngine, writeWeights, network } from ${JSON.stringify(support)};
       await writeWeights(${JSON.stringify(weights)}, network());
       const y = await runOnce(watchedEngine(${JSON.stringify(folder.path)}), ${JSON.stringify(weights)});
       console.log("answered " + y.shape);`,
    );
    const child = spawn(process.execPath, ["--import", "tsx", script], { timeout: 30_000 });
    let text = "";
    child.stdout.on("data", (chunk) => {
      text += chunk;
    });
    const code = await new Promise((done) => child.once("close", done));
    expect(text).toContain("answered 2,35,32");
    expect(code).toBe(0);
  }, 40_000);
});

describe("what the engine refuses is told with the model's name", () => {
  test.each([
    ["directly", Number.POSITIVE_INFINITY],
    ["through the cache", 0],
  ])("weights that were cut short or deleted since they were opened, %s", async (_, minimum) => {
    await using folder = await scratch();
    const path = join(folder.path, "model.bin");
    const graph = network();
    await writeWeights(path, graph);
    const stored = await openWeights(path, graph);
    await using on = watchedEngine(join(folder.path, "cache"), { minimum });
    await truncate(path, 100);
    const cut = await failure(on.load(graph, stored, { label: "UNet of tiny" }));
    expect(cut.message).toMatch(/model\.bin: the file changed since it was opened\. Load it again/);
    await rm(path);
    const gone = await failure(on.load(graph, stored, { label: "UNet of tiny" }));
    expect(gone.message).toMatch(/model\.bin: there is no such file/);
  });

  test("weights that were replaced by others of the same size", async () => {
    await using folder = await scratch();
    const path = join(folder.path, "model.bin");
    await writeWeights(path, network());
    await utimes(path, 1e9, 1e9);
    const stored = await openWeights(path, network());
    await writeWeights(path, network(), 2);
    await using on = watchedEngine(folder.path, { minimum: Number.POSITIVE_INFINITY });
    const error = await failure(on.load(network(), stored, { label: "UNet of tiny" }));
    expect(error.message).toMatch(/model\.bin: the file changed since it was opened/);
  });

  test("weights that end before their header says", async () => {
    await using folder = await scratch();
    const path = join(folder.path, "model.bin");
    const graph = network();
    await writeWeights(path, graph);
    await truncate(path, 1000);
    const stored = await openWeights(path, graph);
    await using on = watchedEngine(folder.path, { minimum: Number.POSITIVE_INFINITY });
    const error = await failure(on.load(graph, stored, { label: "UNet of tiny" }));
    expect(error.code).toBe("device");
    expect(error.message).toMatch(/^UNet of tiny: cpu refused \(External initializer: \S+ offset/);
    expect(error.message).not.toMatch(/onnxruntime|\n/);
  });

  test("a weight that is not there", async () => {
    await using folder = await scratch();
    await using on = watchedEngine(folder.path);
    const error = await failure(on.load(network(), new Map(), { label: "UNet of tiny" }));
    expect(error.code).toBe("mismatch");
    expect(error.message).toMatch(/^UNet of tiny: the weight "[a-z0-9.]+" is missing\.$/);
  });

  test("sizes that are beyond memory", async () => {
    await using folder = await scratch();
    await using on = watchedEngine(folder.path);
    const n = symbol("n");
    const column = op.reshape(op.input("x", [n]), [n, 1]);
    const row = op.reshape(op.input("x2", [n]), [1, n]);
    const graph = graphOf({ y: op.sum(op.exp(op.add(column, row)), [0, 1]) });
    await using program = await on.load(graph, new Map(), { label: "UNet of tiny" });
    const x = full([3_000_000], 1);
    const error = await failure(program.run({ x, x2: x }));
    expect(error.code).toBe("out-of-memory");
    expect(error.message).toMatch(
      /^UNet of tiny: memory ran out on cpu \(.*Failed to allocate.*\)\. Try --low-memory or a smaller/,
    );
    expect(error.message).not.toMatch(/onnxruntime|\n/);
    const { y } = await program.run({ x: full([2], 0), x2: full([2], 0) });
    expect(y!.data[0]).toBe(4); // and the session goes on
  });

  test("shapes that do not fit are mistakes in the program", async () => {
    await using folder = await scratch();
    const weights = join(folder.path, "w");
    await writeWeights(weights, network());
    await using on = watchedEngine(folder.path);
    const stored = await openWeights(weights, network());
    await using program = await on.load(network(), stored, { label: "network" });
    await expect(program.run({})).rejects.toThrow('network: input "x" is missing');
    await expect(program.run({ x: full([1, 2], 0) })).rejects.toThrow(
      'network: input "x" is [1,2], expected [b, 16, h, w]',
    );
    expect((await program.run({ x: X })).y!.shape).toEqual([2, 35, 32]);
  });
});

/** Both ends of a worker in this thread, and an engine behind it that answers with `run`. */
function inThread(run: () => Promise<Record<string, unknown>>, post?: Port["post"]) {
  const host: ((message: unknown) => void)[] = [];
  const guest: ((message: unknown) => void)[] = [];
  const create = async () => ({ run, release: async () => {} });
  const ort = { InferenceSession: { create }, Tensor: class {} } as unknown as OrtModule;
  const port: Port = {
    post: post ?? ((message) => host[0]!(message)),
    listen: (listener) => void guest.push(listener),
  };
  hostSessions(ort, port);
  const worker: WorkerHandle = {
    post: (message) => guest[0]!(message),
    listen: (listener) => void host.push(listener),
    onDeath: () => {},
    terminate: async () => {},
  };
  return { worker, host };
}

describe("the worker's side", () => {
  test("runs one request at a time, in order", async () => {
    const events: string[] = [];
    let k = 0;
    const { worker } = inThread(async () => {
      const name = k++;
      events.push(`begin ${name}`);
      await new Promise((done) => setTimeout(done, 5 - name));
      events.push(`end ${name}`);
      return {};
    });
    const client = connect(worker);
    const { session } = await client.request({ kind: "load", spec: SPEC });
    const ask = () => client.request({ kind: "run", session, feeds: {} });
    await Promise.all([ask(), ask(), ask()]);
    expect(events).toEqual([0, 1, 2].flatMap((i) => [`begin ${i}`, `end ${i}`]));
  });

  test("sends outputs that share a buffer", async () => {
    const data = Float32Array.of(1, 2);
    const outputs = { a: { data, dims: [2] }, b: { data, dims: [1, 2] } };
    const { worker, host } = inThread(
      async () => outputs,
      (message, transfer = []) => host[0]!(structuredClone(message, { transfer: [...transfer] })),
    );
    const client = connect(worker);
    const { session } = await client.request({ kind: "load", spec: SPEC });
    const { outputs: got } = await client.request({ kind: "run", session, feeds: {} });
    expect(got.b).toEqual({ type: "float32", shape: [1, 2], data: Float32Array.of(1, 2) });
  });

  test("goes on after an answer that cannot be sent", async () => {
    let fails = true;
    const sent: ReplyMessage[] = [];
    const { worker, host } = inThread(
      async () => ({}),
      (message) => {
        const reply = message as ReplyMessage;
        if (reply.ok && fails) {
          fails = false;
          throw new Error("could not be cloned");
        }
        sent.push(reply);
        host[0]!(message);
      },
    );
    const client = connect(worker);
    await expect(client.request({ kind: "load", spec: SPEC })).rejects.toThrow("cloned");
    await client.request({ kind: "load", spec: SPEC });
    expect(sent.map((reply) => reply.ok)).toEqual([false, true]);
  });

  test("a request that cannot be sent fails, and nothing waits for it", async () => {
    const { worker } = inThread(async () => ({}));
    const busy: boolean[] = [];
    const post = (message: unknown): void => void structuredClone(message);
    const client = connect({ ...worker, post, keepAlive: (b) => void busy.push(b) });
    const feeds = { x: (() => 1) as never };
    await expect(client.request({ kind: "run", session: 1, feeds })).rejects.toThrow(/cloned/);
    expect(busy.at(-1)).toBe(false);
  });

  test("an engine that cannot make a session says why", async () => {
    const { worker } = inThread(async () => ({}));
    const broken = {
      ...connect(worker),
      request: () => Promise.reject(new Error("no such kernel: Foo")),
    };
    const on = engine(broken, deviceSetup("cpu"));
    const graph = graphOf({ y: op.neg(op.input("x", [1])) });
    const error = await failure(on.load(graph, new Map(), { label: "VAE of tiny" }));
    expect(error).toMatchObject({
      code: "device",
      message: "VAE of tiny: cpu refused (no such kernel: Foo).",
    });
  });
});
