/**
 * What int8 costs: pictures of the same seeds in float32 and in 8 bits, and by kind of layer the
 * signal-to-noise ratio of what the UNet and the decoder give. Prints Markdown tables, writes JSON.
 *
 *     npx tsx scripts/measureInt8.ts [MODEL] [--only pictures,unet,decoder] [--out int8.json]
 *         [--calibrate] [--prompts 100] [--judge FOLDER|none] [--steps N] [--group-steps 8] [--size PIXELS]
 *         [--batch 4] [--threads N]
 *
 * Pictures are of evaluation prompts, with the model's own settings and over the ranges that are kept for it
 * or that its first picture would measure, with --calibrate over those of `tintype calibrate`; a judge
 * counts what is right in them.
 * Layers are measured on the calls that a picture makes in float32, over ranges that another picture gave.
 */
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { evaluatePrompts } from "../src/evaluation/evaluate.js";
import { psnr } from "../src/evaluation/index.js";
import { openJudge } from "../src/evaluation/judge/files.js";
import { defaultJudge } from "../src/evaluation/node.js";
import { percent } from "../src/evaluation/report.js";
import type { Picture } from "../src/image/picture.js";
import {
  calibrateModel,
  type DiffusionModel,
  defaultModel,
  findModel,
  finish,
  loadModel,
  nodePlatform,
  openModel,
  textToImage,
  weightLimit,
} from "../src/node.js";
import { canvasContext } from "../src/platform/node/canvas.js";
import { evaluationPrompts } from "../src/postcards/evaluation.js";
import { paintPostcard } from "../src/postcards/paint.js";
import type { Program } from "../src/runtime/engine.js";
import { nodeEngine } from "../src/runtime/node/engine.js";
import { divide } from "../src/tensor/elementwise.js";
import { full, type Tensor, zeros } from "../src/tensor/tensor.js";
import {
  type Call,
  type Cost,
  costsOf,
  type GroupCost,
  partLoader,
  signalToNoise,
} from "./int8Groups.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: "string", default: "pictures,unet,decoder" },
    out: { type: "string" },
    calibrate: { type: "boolean", default: false },
    prompts: { type: "string", default: "100" },
    judge: { type: "string", default: defaultJudge() },
    steps: { type: "string" },
    "group-steps": { type: "string", default: "8" },
    size: { type: "string" },
    batch: { type: "string", default: "4" },
    threads: { type: "string" },
  },
});
const ref = positionals[0] ?? defaultModel();
const threads = values.threads === undefined ? undefined : Number(values.threads);
const steps = values.steps === undefined ? undefined : Number(values.steps);
const platform = nodePlatform();
const report: Record<string, unknown> = { model: ref };

const mean = (of: readonly number[]): number => of.reduce((sum, x) => sum + x, 0) / of.length;
const decibels = (x: number | undefined): string =>
  x === undefined ? "" : Number.isFinite(x) ? x.toFixed(1) : "equal";
const row = (cells: readonly string[]): void => console.log(`| ${cells.join(" | ")} |`);
const head = (cells: readonly string[]): void => {
  row(cells);
  row(cells.map(() => "---"));
};

/** Pictures of evaluation prompts, and how many are right in all that the prompt says. */
async function draw(
  model: DiffusionModel,
): Promise<{ readonly pictures: readonly Picture[]; readonly accuracy: number | undefined }> {
  const [prompts, batchSize] = [Number(values.prompts), Number(values.batch)];
  if (values.judge === "none") {
    const pictures: Picture[] = [];
    for (const [seed, { prompt }] of evaluationPrompts(prompts).entries())
      pictures.push(...(await finish(textToImage(model, { prompt, seed, steps }))).pictures);
    return { pictures, accuracy: undefined };
  }
  await using engine = nodeEngine({ platform, device: "cpu", threads });
  await using judge = await openJudge(await platform.openFolder(values.judge), engine);
  const paint = (scene: Parameters<typeof paintPostcard>[0]) => paintPostcard(scene, canvasContext);
  const options = { prompts, batchSize, steps, paint };
  const { pictures, accuracy } = await finish(evaluatePrompts(model, judge, options));
  return { pictures: pictures.map(({ picture }) => picture), accuracy: accuracy.all };
}

async function comparePictures(): Promise<void> {
  const run = { device: "cpu", threads } as const;
  const drawn: Awaited<ReturnType<typeof draw>>[] = [];
  for (const dtype of ["fp32", "int8"] as const) {
    if (dtype === "int8" && values.calibrate)
      for await (const _ of calibrateModel(ref, { threads }));
    await using model = await loadModel(ref, { ...run, dtype });
    console.error(`pictures in ${dtype}`);
    drawn.push(await draw(model));
  }
  const [plain, rounded] = drawn as [(typeof drawn)[number], (typeof drawn)[number]];
  const all = plain.pictures.map((picture, k) => psnr(picture, rounded.pictures[k]!));
  const accuracy = [plain, rounded].map((d) => d.accuracy);
  const [least, middle] = [Math.min(...all), all.toSorted((a, b) => a - b)[all.length >> 1]!];
  report.pictures = { prompts: all.length, psnr: all, accuracy };
  head(["pictures", "PSNR, mean", "median", "least", "all right, fp32", "int8"]);
  const shares = accuracy.map((share) => percent(share));
  row([`${all.length}`, decibels(mean(all)), decibels(middle), decibels(least), ...shares]);
  console.log();
}

const [main, other] = evaluationPrompts(2).map(({ prompt }) => prompt) as [string, string];

/** One run of a sampler in float32, all calls of its UNet kept. */
async function record(
  model: DiffusionModel,
  prompt: string,
  seed: number,
): Promise<{ readonly calls: readonly Call[]; readonly latents: Tensor }> {
  const calls: Call[] = [];
  const latents = await sampled(model, prompt, seed, async (x, t, context) => {
    const answer = await model.predict(x, t, context);
    calls.push({ inputs: { x, t: full([x.shape[0]!], t), context }, answer });
    return answer;
  });
  return { calls, latents };
}

/** The final latents of a picture whose UNet is another; nobody looks at the picture. */
async function sampled(
  model: DiffusionModel,
  prompt: string,
  seed: number,
  predict: DiffusionModel["predict"],
): Promise<Tensor> {
  const watched: DiffusionModel = {
    ...model,
    predictor: () => predict,
    prepareUNet: () => {},
    prepareDecoder: () => {},
    decodeLatents: async ({ shape: [, , h, w] }) =>
      zeros([1, 3, model.factor * h!, model.factor * w!]),
  };
  const side = values.size === undefined ? model.nativeSize : Number(values.size);
  const size = { width: side, height: side, steps: Number(values["group-steps"]) };
  return (await finish(textToImage(watched, { prompt, seed, ...size }))).latents;
}

/** Calls spread over a run: the first, the last, and some in between. */
const few = <T>(of: readonly T[]): T[] =>
  [...new Set([0, 0.25, 0.5, 0.75, 1].map((share) => Math.round(share * (of.length - 1))))].map(
    (i) => of[i]!,
  );

const predictWith =
  (program: Program): DiffusionModel["predict"] =>
  async (x, t, context) =>
    (await program.run({ x, t: full([x.shape[0]!], t), context })).prediction!;

async function compareLayers(): Promise<void> {
  const parts = values.only.split(",");
  const files = await findModel(ref);
  await using engine = nodeEngine({ platform, device: "cpu", threads });
  const limit = await weightLimit(engine);
  const on = { engine, limit };
  await using model = await openModel(files, { engine });
  console.error("two pictures in float32");
  const [seen, measured] = [await record(model, other, 1), await record(model, main, 2)];
  await model.release("unet");
  if (parts.includes("unet")) {
    const loader = await partLoader(
      files,
      "unet",
      on,
      seen.calls.map(({ inputs }) => inputs),
    );
    const some = few(measured.calls);
    const costs = await costsOf(
      files,
      "unet",
      loader,
      async (program) => {
        const calls: number[] = [];
        for (const { inputs, answer } of some)
          calls.push(signalToNoise(answer.data, (await program.run(inputs)).prediction!.data));
        const latents = await sampled(model, main, 2, predictWith(program));
        return { calls, latents: signalToNoise(measured.latents.data, latents.data) };
      },
      console.error,
    );
    const times = some.map(({ inputs }) => inputs.t!.data[0]!);
    tell(
      "UNet",
      costs,
      times.map((t) => `t = ${Math.round(t)}`),
    );
    report.unet = { timesteps: times, ...costs };
  }
  if (!parts.includes("decoder")) return;
  const scaled = (latents: Tensor) => ({ latents: divide(latents, model.vae.scalingFactor) });
  const answer = await model.decodeLatents(scaled(measured.latents).latents);
  await model.release("decoder");
  const loader = await partLoader(files, "decoder", on, [scaled(seen.latents)]);
  const costs = await costsOf(
    files,
    "decoder",
    loader,
    async (program) => {
      const { image } = await program.run(scaled(measured.latents));
      return { calls: [signalToNoise(answer.data, image!.data)], latents: undefined };
    },
    console.error,
  );
  tell("decoder", costs, ["picture"]);
  report.decoder = costs;
}

/** Tables of what each group costs. */
function tell(
  part: string,
  { all, groups }: { readonly all: Cost; readonly groups: readonly GroupCost[] },
  calls: readonly string[],
): void {
  const hasLatents = all.latents !== undefined;
  const cells = (cost: Cost | undefined): string[] => [
    decibels(cost && mean(cost.calls)),
    ...(hasLatents ? [decibels(cost?.latents)] : []),
  ];
  const titles = (kind: string): string[] => [
    `${kind}: output, dB`,
    ...(hasLatents ? [`${kind}: final latents, dB`] : []),
  ];
  head([`layers of the ${part}`, "number", "weights", ...titles("alone"), ...titles("all but")]);
  for (const { title, layers, weights, alone, allBut } of groups)
    row([title, `${layers}`, millions(weights), ...cells(alone), ...cells(allBut)]);
  row(["all that are not kept", "", "", ...cells(all), ...cells(undefined)]);
  console.log();
  head([`all of the ${part} at`, ...calls]);
  row(["output, dB", ...all.calls.map(decibels)]);
  console.log();
}

const millions = (count: number): string => `${(count / 1e6).toPrecision(3)} M`;

if (values.only.includes("pictures")) await comparePictures();
if (/unet|decoder/.test(values.only)) await compareLayers();
if (values.out !== undefined) await writeFile(values.out, `${JSON.stringify(report, null, 2)}\n`);
