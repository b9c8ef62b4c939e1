import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  operatorTime,
  type ProfiledRun,
  type ProfileShare,
  readProfile,
  timeByKind,
  timeByLayer,
  timeByOperator,
  typicalRun,
} from "../../src/benchmark/profile.js";
import { defaultModel, loadModel, nodePlatform, PART_TITLES, type Part } from "../../src/node.js";
import type { DiffusionModel } from "../../src/pipelines/index.js";
import { torchCpuNoise } from "../../src/tensor/random.js";
import { check, throwIfAborted } from "../../src/util/errors.js";
import { snakeCase } from "../format.js";
import { type Progress, progressOn } from "../progress.js";
import type { Terminal } from "../terminal.js";
import { DEFAULT_DEPTH, type ProfileOptions } from "./options.js";
import { profileText } from "./text.js";

/** A part's profile. */
export interface Profile {
  readonly model: string;
  readonly part: Part;
  readonly dtype: string;
  readonly device: string;
  /** Side of the picture, in pixels, and pictures at once. */
  readonly size: number;
  readonly batch: number;
  readonly runs: number;
  readonly depth: number;
  /** From call to return; the median of the runs, as all times. */
  readonly milliseconds: number;
  /** In operators, one after the other. */
  readonly operatorMilliseconds: number;
  readonly kinds: readonly ProfileShare[];
  readonly layers: readonly ProfileShare[];
  readonly operators: readonly ProfileShare[];
}

/** Runs `tintype profile`. */
export async function runProfile(options: ProfileOptions, terminal: Terminal): Promise<void> {
  using progress = progressOn(terminal, { live: terminal.live && options.json !== true });
  const folder = await mkdtemp(join(tmpdir(), "tintype-profile-"));
  try {
    const profile = await measure(options, folder, progress, terminal);
    progress.idle();
    const { out, columns, unicode } = terminal;
    if (options.json === true) out(`${JSON.stringify(snakeCase(profile))}\n`);
    else out(profileText(profile, columns(), unicode));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function measure(
  { model: ref, part, dtype, size, batchSize, runs, threads, ...options }: ProfileOptions,
  folder: string,
  progress: Progress,
  { signal }: Terminal,
): Promise<Profile> {
  let ran = { device: "", dtype: "" };
  await using model = await loadModel(ref, {
    platform: nodePlatform(),
    signal,
    device: "cpu", // a GPU's operators are done later than they are called
    dtype,
    threads,
    profile: join(folder, "profile"),
    onDownload: progress.download,
    onNotice: (message) => progress.notice(`tintype: ${message}`),
    onDevice: ({ device }, dtype) => {
      ran = { device: device.name, dtype };
    },
    onLoad: (part) => progress.busy(`loading the ${PART_TITLES[part]}`),
  });
  const { depth = DEFAULT_DEPTH[part] } = options;
  const side = size ?? model.nativeSize;
  check(
    side % model.factor === 0,
    "bad-argument",
    `--size: expected a multiple of ${model.factor} for this model, got ${side}.`,
  );
  model.checkMemory({ width: side, height: side, batch: batchSize, guided: true }, [part]);
  const call = calls(model, side, batchSize)[part];
  for (let i = 0; i <= runs; i++) {
    throwIfAborted(signal);
    await call(); // the first warms up
    progress.busy(`running the ${PART_TITLES[part]}`);
  }
  await model.release(part);
  const run = typicalRun((await profileIn(folder, part)).slice(-runs));
  return {
    model: ref ?? defaultModel(),
    part,
    ...ran,
    ...{ size: side, batch: batchSize, runs, depth },
    milliseconds: run.microseconds / 1000,
    operatorMilliseconds: operatorTime(run) / 1000,
    kinds: timeByKind(run),
    layers: timeByLayer(run, depth),
    operators: timeByOperator(run, depth),
  };
}

/** One call of each part, as a guided picture has it. */
function calls(
  model: DiffusionModel,
  side: number,
  batch: number,
): Readonly<Record<Part, () => Promise<unknown>>> {
  const noise = torchCpuNoise(0);
  const { unet, vae, factor } = model;
  const latents = (count: number, channels: number) =>
    noise.randn([count, channels, side / factor, side / factor]);
  const context = noise.randn([2 * batch, 77, unet.crossAttentionDim]);
  const prompts = Array.from({ length: batch }, () => ["a photograph of an astronaut", ""]).flat();
  return {
    text: () => model.encodePrompts(prompts),
    unet: () => model.predict(latents(batch, unet.inChannels), 500, context),
    decoder: () => model.decodeLatents(latents(batch, vae.latentChannels)),
    encoder: () => model.encodeImage(noise.randn([batch, vae.inChannels, side, side])),
  };
}

/** The runs of a part's main program: what is worked out once a picture is a program of its own. */
async function profileIn(folder: string, part: Part): Promise<readonly ProfiledRun[]> {
  const names = (await readdir(folder)).filter((name) => name.startsWith(`profile-${part}`));
  const programs: ProfiledRun[][] = [];
  for (const name of names) {
    programs.push(readProfile(JSON.parse(await readFile(join(folder, name), "utf8"))));
  }
  const time = (runs: readonly ProfiledRun[]): number =>
    runs.reduce((sum, run) => sum + run.microseconds, 0);
  const runs = programs.sort((a, b) => time(b) - time(a))[0] ?? [];
  check(runs.length > 0, "device", "The engine has written no profile.");
  return runs;
}
