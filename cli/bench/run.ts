import { resolve } from "node:path";
import {
  benchmarkChart,
  benchmarkJson,
  medianRows,
  ratioRows,
} from "../../src/benchmark/report.js";
import {
  addSamples,
  type Benchmark,
  type Failure,
  type Samples,
} from "../../src/benchmark/results.js";
import { planRounds } from "../../src/benchmark/rounds.js";
import { nodePlatform, VERSION } from "../../src/node.js";
import type { Platform } from "../../src/platform/types.js";
import { writeJson, writeText } from "../../src/platform/writeText.js";
import { counted } from "../../src/util/counted.js";
import { check, TintypeError, throwIfAborted } from "../../src/util/errors.js";
import { snakeCase, table } from "../format.js";
import { type Progress, progressOn } from "../progress.js";
import type { Terminal } from "../terminal.js";
import { type Contestant, SAMPLER, type VisitRequest } from "./contestant.js";
import { contestantsOf } from "./contestants.js";
import { busyNotice, thisMachine } from "./machine.js";
import { type BenchModel, benchFolder, benchModel } from "./model.js";
import { type BenchOptions, DEFAULT_PARTS } from "./options.js";
import { MEMORY_SOURCE } from "./process.js";

const RESULTS = "results.json";
const CHART = "chart.svg";

/** Runs `tintype bench`. */
export async function runBench(options: BenchOptions, terminal: Terminal): Promise<void> {
  const platform = nodePlatform();
  const out = resolve(options.out);
  const inside = await platform.files.list(out);
  check(
    inside.length === 0 || inside.includes(RESULTS),
    "bad-argument",
    `--out: ${options.out} holds something else than older results. Name another folder.`,
  );
  using progress = progressOn(terminal, { live: terminal.live && options.json !== true });
  const machine = thisMachine();
  const busy = busyNotice(machine);
  if (busy !== undefined) progress.notice(`tintype: ${busy}`);
  const model = await benchModel(options.model, platform, progress, terminal);
  const sizes = sizesOf(options, model);
  await platform.files.makeFolder(benchFolder(platform));
  const { steps, rounds, threads } = options;
  const settings = { rounds, steps, sampler: SAMPLER, threads, sizes };
  const whole = (measured: Measured): Benchmark => {
    return { model: model.title, machine, settings, memoryBy: MEMORY_SOURCE, ...measured };
  };
  const place = { platform, progress, terminal };
  const measured = await measure(options, model, sizes, place, async (soFar) => {
    await write(out, whole(soFar), platform); // whoever stops it keeps the rounds that are over
  });
  progress.idle();
  show(whole(measured), options, terminal);
}

/** Throws "bad-argument" for sizes that the model cannot make. */
function sizesOf({ size = [] }: BenchOptions, { side, factor }: BenchModel): readonly number[] {
  for (const value of size) {
    const wanted = `--size: expected multiples of ${factor} for this model, got ${value}.`;
    check(value % factor === 0 && value >= 8 * factor, "bad-argument", wanted);
  }
  return size.length === 0 ? [side] : size;
}

/** What a benchmark has at hand. */
interface Place {
  readonly platform: Platform;
  readonly progress: Progress;
  readonly terminal: Terminal;
}

type Measured = Pick<Benchmark, "contestants" | "failures" | "samples">;

/**
 * All rounds; `onRound` is given what is measured after each. Who fails is told of and left out; throws
 * "device" where nobody is left.
 */
async function measure(
  options: BenchOptions,
  model: BenchModel,
  sizes: readonly number[],
  place: Place,
  onRound: (measured: Measured) => Promise<void>,
): Promise<Measured> {
  const failures: Failure[] = [];
  const failed = (contestant: Contestant, error: unknown, size?: number): void => {
    throwIfAborted(place.terminal.signal);
    if (!(error instanceof TintypeError)) throw error;
    place.progress.notice(`tintype: ${error.message}`);
    failures.push({ contestant: contestant.name, size, message: error.message });
  };
  const entered = await enter(
    options,
    contestantsOf(options, model, place.platform),
    sizes,
    place,
    failed,
  );
  const contestants = entered.map(({ name, program, dtype, about }) => {
    return { name, program, dtype, about };
  });
  const samples = new Map(contestants.map(({ name }) => [name, new Map<number, Samples>()]));
  const hasFailed = ({ name }: Contestant, size: number): boolean =>
    failures.some((f) => f.contestant === name && f.size === size);
  for (const [round, visits] of planRounds(entered, sizes, options.rounds).entries()) {
    for (const { size, contestant } of visits.filter((v) => !hasFailed(v.contestant, v.size))) {
      const title = `round ${round + 1}/${options.rounds}, ${contestant.name}, ${size}x${size}`;
      const own = samples.get(contestant.name)!;
      try {
        const visit = await contestant.visit(visitRequest(options, size, title, place));
        own.set(size, addSamples(own.get(size), visit));
      } catch (error) {
        failed(contestant, error, size);
      }
    }
    const isAny = [...samples.values()].some((own) => own.size > 0);
    check(isAny, "device", "Nothing could be measured: every contestant failed.");
    await onRound({ contestants, failures, samples });
  }
  return { contestants, failures, samples };
}

/** Those who are ready, with what they say of themselves. */
async function enter(
  options: BenchOptions,
  contestants: readonly Contestant[],
  sizes: readonly number[],
  place: Place,
  failed: (contestant: Contestant, error: unknown) => void,
): Promise<(Contestant & { readonly about: string })[]> {
  const ready: (Contestant & { readonly about: string })[] = [];
  for (const contestant of contestants) {
    try {
      const request = visitRequest(options, sizes[0]!, contestant.name, place);
      ready.push({ ...contestant, ...(await contestant.prepare(request)) });
    } catch (error) {
      // A dtype that nobody asked for and that this machine does not have is no news.
      const isNews = !(error instanceof TintypeError) || error.code !== "unsupported";
      if (isNews || options.dtype !== undefined) failed(contestant, error);
    }
  }
  return ready;
}

function visitRequest(
  { parts = DEFAULT_PARTS, steps }: BenchOptions,
  side: number,
  title: string,
  { platform, progress, terminal }: Place,
): VisitRequest {
  return {
    ...{ side, steps, batch: 1 },
    parts: new Set(parts),
    scratch: benchFolder(platform),
    signal: terminal.signal,
    onPart: (part) => progress.busy(terminal.live ? `${title}: ${part}` : title),
  };
}

async function write(out: string, result: Benchmark, { files }: Platform): Promise<void> {
  await files.makeFolder(out);
  await writeText(files, `${out}/${CHART}`, benchmarkChart(result));
  await writeJson(files, `${out}/${RESULTS}`, jsonOf(result));
}

const jsonOf = (result: Benchmark): unknown =>
  snakeCase({ version: VERSION, ...benchmarkJson(result) });

function show(result: Benchmark, { json, out }: BenchOptions, terminal: Terminal): void {
  if (json === true) {
    terminal.out(`${JSON.stringify(jsonOf(result))}\n`);
    return;
  }
  const { model, machine, settings, failures } = result;
  terminal.out(`${model} on ${machine.processor}, ${counted(machine.cores, "core")}\n`);
  for (const size of settings.sizes) {
    terminal.out(`\n${table(medianRows(result, size))}`);
    const ratios = ratioRows(result, size);
    if (ratios.length > 0) terminal.out(`\n${table(ratios)}`);
  }
  const rounds = counted(settings.rounds, "round");
  terminal.out(`\nMedians of ${rounds}, ± half the distance of the quartiles.\n`);
  for (const { contestant, size, message } of failures) {
    const where = size === undefined ? "" : ` at ${size}x${size}`;
    terminal.out(`Not measured: ${contestant}${where}. ${message}\n`);
  }
  terminal.out(`${out}/${CHART}, ${out}/${RESULTS}\n`);
}
