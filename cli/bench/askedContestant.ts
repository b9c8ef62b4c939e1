import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { ContestantName, Samples } from "../../src/benchmark/results.js";
import { TintypeError, throwIfAborted } from "../../src/util/errors.js";
import type { Contestant, VisitRequest } from "./contestant.js";
import type { BenchPart } from "./options.js";
import { type Command, type Ended, endOf, type Measured, startProcess } from "./process.js";
import type { WorkerAnswer, WorkerPart, WorkerRequest, WorkerSettings } from "./protocol.js";

/*
 * Contestants that answer the requests of protocol.ts: Tintype and diffusers.
 */

/** How such a program is started and makes a picture. */
export interface AskedProgram extends ContestantName {
  readonly settings: WorkerSettings;
  readonly worker: Command;
  /** Starts again from an empty cache folder; undefined for programs that keep none. */
  readonly withCache?: ((folder: string) => Command) | undefined;
  /** Makes a whole picture in a process of its own, and says how long that took. */
  picture(request: VisitRequest, output: string): Promise<Picture>;
}

/** How a picture was made. */
export interface Picture {
  readonly seconds: number;
  readonly peakBytes: number | undefined;
}

type Value = Extract<WorkerAnswer, { readonly value: number }>;

/** A process that answers; disposing it ends it. */
export interface Worker extends AsyncDisposable {
  readonly process: Measured;
  /** Throws "device" where it answers with an error or ends. */
  ask(request: WorkerRequest): Promise<Value>;
}

/** Starts a program that answers requests. */
export function startWorker(name: string, command: Command, signal?: AbortSignal): Worker {
  const process = startProcess(command, signal);
  const lines = createInterface({ input: process.stdout })[Symbol.asyncIterator]();
  return {
    process,
    async ask(request) {
      process.stdin.write(`${JSON.stringify(request)}\n`);
      const { value, done } = await lines.next();
      if (done) throw await failure(name, process.ended, signal);
      const answer = JSON.parse(value as string) as WorkerAnswer;
      if ("value" in answer) return answer;
      const { error, code = "device" } = answer;
      throw new TintypeError(code, `${name}: ${error.replace(/\.?$/, ".")}`);
    },
    async [Symbol.asyncDispose]() {
      process.stop();
      await process.ended.catch(() => {});
    },
  };
}

/** What to tell of a program that ended too early. */
export async function failure(
  name: string,
  ended: Promise<Ended>,
  signal: AbortSignal | undefined,
): Promise<TintypeError> {
  const end = await ended;
  throwIfAborted(signal);
  return new TintypeError("device", `${name}: ${endOf(end)}.`);
}

const WORKER_PARTS: readonly WorkerPart[] = ["text", "step", "decode"];

/** How often a part is called in a visit, after a first time that does not count. */
const CALLS: Readonly<Record<WorkerPart, number>> = { text: 3, step: 2, decode: 1 };

/** Seconds of a call that is not worth more than one sample. */
const LONG = 30;

/** The contestant that a program is. */
export function askedContestant(program: AskedProgram): Contestant {
  const { name, settings, worker: command } = program;
  return {
    name,
    program: program.program,
    dtype: program.dtype,
    async prepare({ parts, signal, onPart }) {
      onPart("preparing");
      await using worker = startWorker(name, command, signal);
      const loaded = await worker.ask({ do: "load", parts: partsToLoad(parts), ...settings });
      const { about = "", dtype } = loaded;
      if (dtype === undefined || dtype === program.dtype || program.dtype === "auto")
        return { about };
      throw new TintypeError(
        "unsupported",
        `${name}: ${about.split(":")[0]} computes in ${dtype} here. Leave ${program.dtype} out of --dtype.`,
      );
    },
    async visit(request) {
      const { parts } = request;
      const samples: Partial<Record<keyof Samples, readonly number[]>> = {};
      if (["load", ...WORKER_PARTS].some((part) => parts.has(part as BenchPart))) {
        Object.assign(samples, await visitParts(program, request));
      }
      if (parts.has("cold")) samples.cold = [await coldLoad(program, request, samples.load)];
      if (parts.has("picture")) {
        const { seconds, peakBytes } = await visitPicture(program, request);
        samples.picture = [seconds];
        if (peakBytes !== undefined) samples.memory = [peakBytes]; // what a user meets
      }
      return samples;
    },
  };
}

/** What a process has to load so that these can be measured. */
function partsToLoad(parts: ReadonlySet<BenchPart>): WorkerPart[] {
  const all = parts.has("load") || parts.has("picture") || parts.has("cold");
  return WORKER_PARTS.filter((part) => all || parts.has(part));
}

async function visitParts(
  { name, settings, worker: command }: AskedProgram,
  { side, batch, parts, signal, onPart }: VisitRequest,
): Promise<Samples> {
  onPart("loading");
  await using worker = startWorker(name, command, signal);
  await worker.ask({ do: "load", parts: partsToLoad(parts), ...settings });
  const seconds = worker.process.age() / 1000;
  const samples: Partial<Record<keyof Samples, number[]>> = {};
  if (parts.has("load")) samples.load = [seconds];
  for (const part of WORKER_PARTS.filter((part) => parts.has(part))) {
    onPart(part);
    const once = async (): Promise<number> => (await worker.ask({ do: part, side, batch })).value;
    const calls = (await once()) > LONG ? 1 : CALLS[part];
    samples[part] = [];
    for (let i = 0; i < calls; i++) samples[part].push(await once());
  }
  samples.memory = [(await worker.ask({ do: "memory" })).value];
  return samples;
}

/** Seconds from the start of the process until all is loaded, with nothing in the cache. */
async function coldLoad(
  { name, settings, worker: command, withCache }: AskedProgram,
  { parts, signal, onPart, scratch }: VisitRequest,
  warm: readonly number[] | undefined,
): Promise<number> {
  if (withCache === undefined && warm !== undefined) return warm[0]!; // it keeps no cache
  onPart("loading with an empty cache");
  const folder = await mkdtemp(join(scratch, "cold-"));
  try {
    await using worker = startWorker(name, withCache?.(folder) ?? command, signal);
    await worker.ask({ do: "load", parts: partsToLoad(parts), ...settings });
    return worker.process.age() / 1000;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function visitPicture(program: AskedProgram, request: VisitRequest): Promise<Picture> {
  request.onPart("a whole picture");
  const folder = await mkdtemp(join(request.scratch, "picture-"));
  try {
    return await program.picture(request, join(folder, "picture.png"));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
