import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { beginBatch, planJob, readInputs } from "../../cli/generate/job.js";
import type { GenerateOptions } from "../../cli/generate/options.js";
import { loadModelFiles, type ModelFiles } from "../../src/checkpoints/index.js";
import { parseSchedulerConfig } from "../../src/diffusion/index.js";
import { readTensorFile } from "../../src/formats/index.js";
import {
  type DiffusionModel,
  decodePicture,
  finish,
  type Generated,
  nodePlatform,
  openModel,
} from "../../src/node.js";
import { nodeEngine } from "../../src/runtime/node/engine.js";
import { readTensor } from "../../src/tensor/convert.js";
import { sliceBatch } from "../../src/tensor/elementwise.js";
import type { StoredTensors } from "../../src/tensor/stored.js";
import { type Folder, memorySource } from "../../src/util/bytes.js";
import { parseGenerate } from "../cli/parse.js";
import { relativeError } from "../engine/run.js";
import { derivedFile } from "./derivedWeights.js";

/*
 * Every command line of test/golden/pipelines gives the picture, and the latents, that diffusers
 * gives: no value of a pixel off by more than 2 of 255, latents within a relative error of 1e-3.
 */

interface Case {
  readonly name: string;
  readonly model: string;
  readonly config?: string;
  readonly vae?: string;
  /** The model's file is not stored: its weights follow from their names. */
  readonly derived?: true;
  /** Files that replace those of the model's folder. */
  readonly overlay?: Readonly<Record<string, unknown>>;
  /** Options of the library that no flag sets. */
  readonly library?: { readonly guidanceRescale?: number };
  readonly prompt: string;
  readonly args: readonly string[];
  readonly pictures: readonly string[];
}

const GOLDEN = new URL("../golden/", import.meta.url).pathname;
const PICTURES = `${GOLDEN}pipelines`;
const CASES = JSON.parse(readFileSync(`${PICTURES}/cases.json`, "utf8")) as readonly Case[];

const platform = nodePlatform();
const engine = nodeEngine({ platform, device: "cpu", threads: 1, cacheLimit: 0 });
const models = new Map<string, Promise<DiffusionModel>>();
let latents: StoredTensors;

beforeAll(async () => {
  latents = (await readTensorFile(await platform.openFile(`${PICTURES}/latents.safetensors`)))
    .tensors;
});
afterAll(() => engine[Symbol.asyncDispose]());

/** A folder with some of its files replaced. */
function overlaid(folder: Folder, overlay: Readonly<Record<string, unknown>>): Folder {
  return {
    ...folder,
    async open(path) {
      if (!(path in overlay)) return await folder.open(path);
      const text = JSON.stringify(overlay[path]);
      return memorySource(`${folder.name}/${path}`, new TextEncoder().encode(text));
    },
  };
}

async function filesOf(c: Case, { prediction }: GenerateOptions): Promise<ModelFiles> {
  const path = `${GOLDEN}models/${c.model}`;
  const open = async (name: string) => await platform.openFolder(`${GOLDEN}models/${name}`);
  const listing = path.replace(/\.safetensors$/, ".json");
  const source = c.derived
    ? await derivedFile(c.model.replace(/\.safetensors$/, ""), listing)
    : (await platform.stat(path))?.kind === "file"
      ? await platform.openFile(path)
      : overlaid(await open(c.model), c.overlay ?? {});
  return await loadModelFiles(source, {
    prediction,
    ...(c.config ? { config: await open(c.config) } : {}),
    ...(c.vae ? { vae: await platform.openFile(`${GOLDEN}models/${c.vae}`) } : {}),
    ...(c.model.endsWith("fp16") ? { variant: "fp16" } : {}),
  });
}

/** The model of a case; models with the same weights share their programs. */
async function modelOf(c: Case, options: GenerateOptions): Promise<DiffusionModel> {
  const files = await filesOf(c, options);
  const key = [c.model, c.config, c.vae].join(" ");
  const shared = models.get(key) ?? openModel(files, { engine });
  models.set(key, shared);
  const { prediction } = files;
  if (prediction === "probe") return await shared;
  const scheduler = parseSchedulerConfig(files.name, files.scheduler);
  return { ...(await shared), scheduler, prediction };
}

async function run(c: Case): Promise<{ results: Generated[]; batchSize: number }> {
  const atPictures = (arg: string, i: number): string =>
    ["--init-image", "--mask"].includes(c.args[i - 1] ?? "") ? `${PICTURES}/${arg}` : arg;
  const { prompt, options } = await parseGenerate([c.prompt, ...c.args.map(atPictures)]);
  const job = planJob(prompt, options);
  const inputs = await readInputs(options, platform);
  const model = await modelOf(c, options);
  const results: Generated[] = [];
  for (let batch = 0; batch < options.batchCount; batch++) {
    const more = { ...c.library, freeParts: false }; // the next case runs the same programs
    results.push(await finish(beginBatch(model, job, inputs, batch, undefined, more)));
  }
  return { results, batchSize: options.batchSize };
}

describe.each(CASES)("$name", (c) => {
  test(`tintype generate ${c.args.join(" ")}`, async () => {
    const { results, batchSize } = await run(c);
    expect(results.length * batchSize).toBe(c.pictures.length);
    for (const [k, file] of c.pictures.entries()) {
      const result = results[Math.floor(k / batchSize)]!;
      const expected = await decodePicture(readFileSync(`${PICTURES}/${file}`), file);
      const made = result.pictures[k % batchSize]!;
      expect([made.width, made.height]).toEqual([expected.width, expected.height]);
      const off = made.data.map((v, i) => Math.abs(v - expected.data[i]!));
      expect(
        off.reduce((a, b) => Math.max(a, b)),
        `${file}: pixels`,
      ).toBeLessThanOrEqual(2);
      const reference = await readTensor(latents.get(`${c.name}.${k}`)!);
      const own = sliceBatch(result.latents, k % batchSize, 1);
      expect(relativeError(own.data, reference.data), `${file}: latents`).toBeLessThan(1e-3);
    }
  });
});
