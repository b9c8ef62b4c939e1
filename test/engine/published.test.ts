import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { readSafetensors } from "../../src/formats/index.js";
import { type Graph, manifest } from "../../src/graph/graph.js";
import { CLIP_L_TEXT, OPENCLIP_H_TEXT } from "../../src/models/clip/config.js";
import { TOKEN_TABLE } from "../../src/models/clip/model.js";
import { SD1_UNET, SD2_UNET } from "../../src/models/unet/config.js";
import { SD_VAE } from "../../src/models/vae/config.js";
import { decoderGraph, encoderGraph, textGraph, unetGraph } from "../../src/pipelines/graphs.js";
import { nodePlatform } from "../../src/platform/node/platform.js";
import type { Engine } from "../../src/runtime/engine.js";
import { nodeEngine } from "../../src/runtime/node/engine.js";
import { readTensor } from "../../src/tensor/convert.js";
import type { StoredTensor, StoredTensors } from "../../src/tensor/stored.js";
import { full, type Tensor, tensor } from "../../src/tensor/tensor.js";
import { derivedNoise, derivedWeight } from "../golden-weights.js";
import { findAdapter, useAdapter } from "./adapters.js";
import { relativeError } from "./run.js";

/*
 * The networks of Stable Diffusion 1.5 and 2.1 at their published shapes, against PyTorch. Weights
 * are gigabytes that follow from names; they are written to a file that the engine maps.
 * TINTYPE_TEST=full runs this: some minutes, 8 GB of memory, 4 GB of temporary files.
 */

const adapter = findAdapter();
const wanted = process.env.TINTYPE_TEST === "full";
const title = wanted
  ? "at published shapes"
  : "at published shapes (long: set TINTYPE_TEST=full to run it)";

const platform = nodePlatform();
const golden = await readSafetensors(
  await platform.openFile("test/golden/components/published.safetensors"),
);
const answer = (name: string): Promise<Tensor> => readTensor(golden.tensors.get(name)!);

const FAMILIES = [
  { name: "sd15", unet: SD1_UNET, text: CLIP_L_TEXT },
  { name: "sd21", unet: SD2_UNET, text: OPENCLIP_H_TEXT },
] as const;

const UNET_CASES = [
  { name: "a", size: [2, 4, 16, 16], t: 981 },
  { name: "a", size: [2, 4, 16, 16], t: 1 },
  { name: "b", size: [1, 4, 64, 64], t: 981 },
] as const;

describe.skipIf(!wanted)(title, { timeout: 900_000 }, () => {
  const engine = nodeEngine({ platform, device: "cpu", cacheLimit: 0 });
  const folders: string[] = [];
  afterAll(async () => {
    await engine[Symbol.asyncDispose]();
    for (const folder of folders) await rm(folder, { recursive: true });
  });

  /** Writes the weights that a graph asks for into one file. */
  const derivedFile = async (model: string, graph: Graph): Promise<StoredTensors> => {
    const folder = await mkdtemp(join(tmpdir(), "tintype-published-"));
    folders.push(folder);
    const path = join(folder, "weights.bin");
    const places = new Map<string, { shape: readonly number[]; offset: number; length: number }>();
    const file = await open(path, "w");
    let offset = 0;
    for (const [name, shape] of manifest(graph)) {
      const { data } = derivedWeight(model, name, shape);
      await file.writeFile(new Uint8Array(data.buffer));
      places.set(name, { shape, offset, length: data.byteLength });
      offset += data.byteLength;
    }
    await file.close();
    const source = await platform.openFile(path);
    return new Map(
      [...places].map(([name, place]): [string, StoredTensor] => [
        name,
        { dtype: "f32", source, ...place },
      ]),
    );
  };

  test.each(FAMILIES)("the text encoder of $name", async ({ name, text }) => {
    const graph = textGraph(text);
    const weights = await derivedFile(`${name}.text`, graph);
    const stored = golden.tensors.get("ids")!;
    const ids = new Int32Array((await stored.source.read(stored.offset, stored.length)).buffer);
    const width = text.hiddenSize;
    const table = derivedWeight(`${name}.text`, `${TOKEN_TABLE}.weight`, [text.vocabSize, width]);
    const tokens = new Float32Array(ids.length * width);
    ids.forEach((id, i) => {
      tokens.set(table.data.subarray(id * width, (id + 1) * width), i * width);
    });
    await using program = await engine.load(graph, weights, { label: `${name} text` });
    const { hidden } = await program.run({ tokens: tensor([1, ids.length, width], tokens) });
    const want = await answer(`${name}.text.hidden`);
    expect(relativeError(hidden!.data, want.data)).toBeLessThan(1e-4);
  });

  const unetErrors = async (
    { name, unet }: (typeof FAMILIES)[number],
    on: Engine,
    cases: readonly (typeof UNET_CASES)[number][],
  ): Promise<number[]> => {
    const graph = unetGraph(unet);
    const weights = await derivedFile(`${name}.unet`, graph);
    await using program = await on.load(graph, weights, { label: `${name} unet` });
    const width = unet.crossAttentionDim;
    const errors: number[] = [];
    for (const { name: which, size, t } of cases) {
      const { prediction } = await program.run({
        x: derivedNoise(`sample.${which}`, size),
        t: full([size[0]], t),
        context: derivedNoise(`context.${width}`, [size[0], 77, width]),
      });
      const want = await answer(`${name}.unet.${which}.t${t}`);
      expect(prediction!.shape).toEqual(want.shape);
      errors.push(relativeError(prediction!.data, want.data));
    }
    return errors;
  };

  test.each(FAMILIES)("the UNet of $name", async (family) => {
    const errors = await unetErrors(family, engine, UNET_CASES);
    expect(Math.max(...errors)).toBeLessThan(1e-4);
  });

  test.skipIf(adapter === undefined)("the UNet of sd15 on WebGPU", async () => {
    useAdapter(adapter!);
    await using gpu = nodeEngine({ platform, device: "webgpu" });
    const small = UNET_CASES.filter(({ name }) => name === "a");
    const errors = await unetErrors(FAMILIES[0], gpu, small);
    expect(Math.max(...errors)).toBeLessThan(1e-4);
  });

  test("the autoencoder", async () => {
    const decoder = decoderGraph(SD_VAE);
    await using decode = await engine.load(decoder, await derivedFile("klf8", decoder), {
      label: "decoder",
    });
    const { image } = await decode.run({ latents: derivedNoise("latents", [1, 4, 16, 16]) });
    expect(relativeError(image!.data, (await answer("klf8.decoded")).data)).toBeLessThan(1e-4);

    const encoder = encoderGraph(SD_VAE);
    await using encode = await engine.load(encoder, await derivedFile("klf8", encoder), {
      label: "encoder",
    });
    const { moments } = await encode.run({ image: derivedNoise("image", [1, 3, 128, 128]) });
    expect(relativeError(moments!.data, (await answer("klf8.moments")).data)).toBeLessThan(1e-4);
  });
});
