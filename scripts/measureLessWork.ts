/**
 * What shortcuts save and what they cost: pictures of the same seeds with and without them, and with fewer
 * steps beside them. Work is counted, as operations of the UNet's programs that ran; with --time it is timed as
 * well. And what they save at the shapes of Stable Diffusion 1.5, counted from graphs alone. Prints the
 * tables of docs/less-work.md, writes JSON.
 *
 *     npx tsx scripts/measureLessWork.ts [MODEL] [--only fewer,guidance,cache,merge,together,shapes]
 *         [--prompts 32] [--batch 8] [--judge FOLDER|none] [--steps N] [--size PIXELS] [--threads N] [--time]
 *         [--out bench/results/lessWork.json]
 *
 * Pictures are of evaluation prompts, with the model's own settings. The settings take turns, batch after
 * batch of prompts, so times are ratios within a turn.
 */
import { writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { parseArgs } from "node:util";
import { thisMachine } from "../cli/bench/machine.js";
import { summarize } from "../src/benchmark/statistics.js";
import { accuracyOf, checksOf, psnr, ssim } from "../src/evaluation/index.js";
import { openJudge } from "../src/evaluation/judge/files.js";
import { defaultJudge } from "../src/evaluation/node.js";
import { percent } from "../src/evaluation/report.js";
import { bindShape } from "../src/graph/dim.js";
import { flopsOf } from "../src/graph/flops.js";
import type { Graph } from "../src/graph/graph.js";
import type { Picture } from "../src/image/picture.js";
import { resize } from "../src/image/resize.js";
import { SD1_UNET } from "../src/models/unet/config.js";
import {
  defaultModel,
  findModel,
  finish,
  type Generated,
  nodePlatform,
  openModel,
  PART_TITLES,
  rememberingPrompts,
  TintypeError,
  textToImage,
} from "../src/node.js";
import { settleShortcuts } from "../src/pipelines/shortcuts.js";
import { evaluationPrompts } from "../src/postcards/evaluation.js";
import type { Engine } from "../src/runtime/engine.js";
import { nodeEngine } from "../src/runtime/node/engine.js";
import type { Tensor } from "../src/tensor/tensor.js";
import { KINDS, type Kind, type Setting, settingsOf } from "./lessWorkSettings.js";
import { pictureFlops } from "./lessWorkShapes.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: "string", default: [...KINDS, "shapes"].join(",") },
    prompts: { type: "string", default: "32" },
    batch: { type: "string", default: "8" },
    judge: { type: "string", default: defaultJudge() },
    steps: { type: "string" },
    size: { type: "string" },
    threads: { type: "string" },
    time: { type: "boolean", default: false },
    out: { type: "string", default: "bench/results/lessWork.json" },
  },
});
const only = values.only.split(",");
const kinds = KINDS.filter((kind) => only.includes(kind));
const threads = values.threads === undefined ? undefined : Number(values.threads);
const platform = nodePlatform();

/** What the UNet's programs did since the last look. */
const spent = { flops: 0, seconds: 0, calls: 0 };

/** An engine that counts and times programs of the UNet. */
function counting(engine: Engine): Engine {
  return {
    ...engine,
    async load(graph, weights, options) {
      const program = await engine.load(graph, weights, options);
      if (!options.label.startsWith(PART_TITLES.unet)) return program;
      const work = operations(graph);
      return {
        async run(inputs) {
          const started = performance.now();
          const outputs = await program.run(inputs);
          spent.seconds += (performance.now() - started) / 1000;
          spent.flops += work(inputs);
          if ("prediction" in outputs) spent.calls++;
          return outputs;
        },
        [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
      };
    },
  };
}

/** Counts the operations of a graph on its inputs. */
function operations(graph: Graph): (inputs: Readonly<Record<string, Tensor>>) => number {
  const known = new Map<string, number>();
  return (inputs) => {
    const bindings: Record<string, number> = {};
    for (const [name, { shape }] of graph.inputs) bindShape(shape, inputs[name]!.shape, bindings);
    const key = JSON.stringify(bindings);
    const flops = known.get(key) ?? flopsOf(graph, bindings);
    known.set(key, flops);
    return flops;
  };
}

/** Pictures of one setting, with what each turn took. */
interface Drawn extends Setting {
  readonly kind: Kind | "default";
  readonly results: Generated[];
  readonly turns: (typeof spent)[];
}

const PLAIN: Setting = { flags: "default", request: {} };
const prompts = evaluationPrompts(Number(values.prompts));

/** Draws the prompts with all settings, which take turns. */
async function drawAll(): Promise<{
  readonly drawn: readonly [Drawn, ...Drawn[]];
  readonly about: object;
}> {
  const ref = positionals[0] ?? defaultModel();
  await using engine = nodeEngine({ platform, device: "cpu", threads });
  await using opened = await openModel(await findModel(ref), { engine: counting(engine) });
  const model = rememberingPrompts(opened);
  const steps = Number(values.steps ?? model.defaults.steps);
  const side = values.size === undefined ? model.nativeSize : Number(values.size);
  const latents = side / model.factor;
  const fits = ({ flags, request }: Setting): boolean => {
    try {
      settleShortcuts(request, model.unet, [latents, latents]);
      return true;
    } catch (error) {
      if (!(error instanceof TintypeError)) throw error;
      console.error(`${flags} is left out: ${error.message}`);
      return false;
    }
  };
  const settings = settingsOf(steps);
  const start = (setting: Setting, kind: Drawn["kind"]): Drawn => ({
    ...setting,
    kind,
    results: [],
    turns: [],
  });
  const others = kinds.flatMap((kind) => settings[kind].filter(fits).map((s) => start(s, kind)));
  const drawn: [Drawn, ...Drawn[]] = [start(PLAIN, "default"), ...others];
  const batch = Number(values.batch);
  for (let seed = 0; seed < prompts.length; seed += batch) {
    const prompt = prompts.slice(seed, seed + batch).map(({ prompt }) => prompt);
    for (const { flags, request, results, turns } of drawn) {
      console.error(`pictures ${seed} to ${seed + prompt.length - 1}: ${flags}`);
      Object.assign(spent, { flops: 0, seconds: 0, calls: 0 });
      const size = { width: side, height: side };
      results.push(await finish(textToImage(model, { prompt, seed, steps, ...size, ...request })));
      turns.push({ ...spent });
    }
  }
  const { guidanceScale } = model.defaults;
  const about = {
    model: basename(opened.name),
    prompts: prompts.length,
    side,
    steps,
    guidanceScale,
  };
  return { drawn, about };
}

const mean = (of: readonly number[]): number => of.reduce((sum, x) => sum + x, 0) / of.length;

/** Over pictures; what JSON writes as null is infinite: they are equal. */
const spread = (of: readonly number[]): { readonly mean: number; readonly least: number } => ({
  mean: mean(of),
  least: Math.min(...of),
});

/** 10 log10 of the signal's power over that of what differs. */
function signalToNoise(signal: Tensor, other: Tensor): number {
  let [power, noise] = [0, 0];
  signal.data.forEach((x, i) => {
    power += x ** 2;
    noise += (x - other.data[i]!) ** 2;
  });
  return 10 * Math.log10(power / noise);
}

/** How a setting's pictures differ from the default ones, and what they took beside them. */
function compare(one: Drawn, plain: Drawn) {
  const pictures = ({ results }: Drawn): Picture[] => results.flatMap(({ pictures }) => pictures);
  const [as, bs] = [pictures(plain), pictures(one)];
  const each = (measure: (a: Picture, b: Picture) => number): number[] =>
    as.map((a, k) => measure(a, bs[k]!));
  const total = ({ turns }: Drawn, key: keyof typeof spent): number =>
    turns.reduce((sum, turn) => sum + turn[key], 0);
  const turns = one.turns.map(({ seconds }, k) => seconds / plain.turns[k]!.seconds);
  return {
    kind: one.kind,
    flags: one.flags,
    calls: total(one, "calls") / one.turns.length,
    work: total(one, "flops") / total(plain, "flops"),
    psnr: spread(each(psnr)),
    ssim: spread(each(ssim)),
    latents: spread(
      one.results.map(({ latents }, k) => signalToNoise(plain.results[k]!.latents, latents)),
    ),
    time: values.time ? summarize(turns) : undefined,
  };
}

type Row = ReturnType<typeof compare> & { readonly right?: Right | undefined };

/** Shares of pictures that show all that their prompts say, and of all things said that are shown. */
interface Right {
  readonly pictures: number;
  readonly things: number;
}

/** Asks a judge what is in the pictures of each setting. */
async function judged(drawn: readonly Drawn[]): Promise<readonly (Right | undefined)[]> {
  if (values.judge === "none") return drawn.map(() => undefined);
  await using engine = nodeEngine({ platform, device: "cpu", threads });
  await using judge = await openJudge(await platform.openFolder(values.judge), engine);
  const side = judge.config.sampleSize;
  const sized = (picture: Picture): Picture =>
    picture.width === side && picture.height === side
      ? picture
      : resize(picture, side, side, "lanczos");
  const all: Right[] = [];
  for (const { results } of drawn) {
    const { answers } = await judge.judge(results.flatMap(({ pictures }) => pictures.map(sized)));
    const checks = prompts.map(({ expected }, k) => checksOf(expected, answers[k]!));
    const things = mean(checks.flat().map(({ right }) => Number(right)));
    all.push({ pictures: accuracyOf(checks).all!, things });
  }
  return all;
}

const line = (cells: readonly string[]): void => console.log(`| ${cells.join(" | ")} |`);
const head = (cells: readonly string[]): void => {
  line(cells);
  line(cells.map(() => "---"));
};
const fixed = (x: number, digits: number): string =>
  Number.isFinite(x) ? x.toFixed(digits) : "equal";

/** The table of pictures. */
function tellPictures(rows: readonly Row[]): void {
  const isJudged = rows.some(({ right }) => right !== undefined);
  head([
    ...["setting", "work", ...(values.time ? ["time"] : []), "PSNR, mean", "least", "SSIM"],
    ...(isJudged ? ["said and shown", "all of a prompt"] : []),
  ]);
  for (const { flags, work, time, psnr, ssim, right } of rows) {
    line([
      ...[flags === PLAIN.flags ? flags : `\`${flags}\``, work.toFixed(2)],
      ...(time ? [time.median.toFixed(2)] : []),
      ...[fixed(psnr.mean, 1), fixed(psnr.least, 1), ssim.mean.toFixed(3)],
      ...(right ? [percent(right.things), percent(right.pictures)] : []),
    ]);
  }
  console.log();
}

const SIDES = [512, 1024, 2048];
const STEPS = 20;

/** Work at published shapes, as shares of the default's; undefined where a setting does not fit. */
async function measureShapes() {
  const flops = async (
    pixels: number,
    request: Setting["request"],
    how: { readonly textApart?: boolean } = {},
  ) => await pictureFlops(SD1_UNET, { side: pixels / 8, steps: STEPS }, request, how);
  const plain = await Promise.all(SIDES.map((pixels) => flops(pixels, {})));
  const over = async (flags: string, ...how: [Setting["request"], { textApart?: boolean }?]) => {
    const all = await Promise.all(SIDES.map((pixels) => flops(pixels, ...how)));
    return { flags, work: all.map((x, k) => x / plain[k]!) };
  };
  const { guidance, cache, merge, together } = settingsOf(STEPS);
  const rows = [await over("keys and values of the text at each step", {}, { textApart: false })];
  const caches = cache.filter(({ flags }) => !flags.includes("power")); // which moves full steps alone
  for (const { flags, request } of [...guidance, ...caches, ...merge, ...together])
    rows.push(await over(flags, request));
  return { sides: SIDES, steps: STEPS, flopsPerGuidedStep: plain.map((x) => x / STEPS), rows };
}

/** The table of published shapes. */
function tellShapes({
  sides,
  flopsPerGuidedStep,
  rows,
}: Awaited<ReturnType<typeof measureShapes>>) {
  head(["UNet of Stable Diffusion 1.5", ...sides.map((side) => `${side} x ${side}`)]);
  line(["a guided step", ...flopsPerGuidedStep.map((x) => `${(x / 1e12).toPrecision(3)} TFLOP`)]);
  for (const { flags, work } of rows) {
    const name = flags.startsWith("--") ? `\`${flags}\`` : flags;
    line([name, ...work.map((share) => share.toFixed(share > 0.99 ? 3 : 2))]);
  }
  console.log();
}

const report: Record<string, unknown> = { machine: thisMachine() };
if (kinds.length > 0) {
  const { drawn, about } = await drawAll();
  const rights = await judged(drawn);
  const rows: Row[] = drawn.map((one, k) => ({ ...compare(one, drawn[0]), right: rights[k] }));
  tellPictures(rows);
  Object.assign(report, about, { rows });
}
if (only.includes("shapes")) {
  const shapes = await measureShapes();
  tellShapes(shapes);
  report.shapes = shapes;
}
await writeFile(values.out, `${JSON.stringify(report, null, 2)}\n`);
