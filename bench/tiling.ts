/**
 * The autoencoder in tiles. With --picture: how far its pictures and latents are from those of the whole
 * autoencoder, in the numbers of scripts/golden/tiling.py. With --side: how long a decode of random
 * latents takes, and how much memory its process held at most; tiles as given, or whole with --tile 0.
 * Memory is at its most while the first tiles are made: --stop N goes no further, where time is short.
 * Run: npx tsx bench/tiling.ts MODEL (--picture FILE... | --side N) [--encode] [--tile N] [--overlap N]
 *      [--dtype fp32|int8] [--stop N] [--threads N]
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { picturesToTensor } from "../src/image/picture.js";
import {
  type DiffusionModel,
  DTYPE_CHOICES,
  decodePicture,
  loadModel,
  type Tiles,
} from "../src/node.js";
import { posteriorMean } from "../src/pipelines/posterior.js";
import { torchCpuNoise } from "../src/tensor/random.js";
import { type Tensor, tensor } from "../src/tensor/tensor.js";
import { crop } from "../src/tensor/tiles.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    picture: { type: "string", multiple: true, default: [] },
    side: { type: "string" },
    encode: { type: "boolean", default: false },
    tile: { type: "string", default: "512" },
    overlap: { type: "string", default: "64" },
    threads: { type: "string" },
    dtype: { type: "string", default: "fp32" },
    stop: { type: "string" },
  },
});
const tiles: Tiles = { tile: Number(values.tile), overlap: Number(values.overlap) };

/** Differences from the whole: over its norm, the largest, and the largest of means over cells. */
function distance(got: Tensor, want: Tensor, cell: number) {
  const off = tensor(
    got.shape,
    got.data.map((v, i) => v - want.data[i]!),
  );
  const norm = (data: Float32Array): number => Math.sqrt(data.reduce((n, v) => n + v * v, 0));
  const [, channels, height, width] = got.shape as readonly [number, number, number, number];
  let tone = 0;
  for (let top = 0; top + cell <= height; top += cell) {
    for (let left = 0; left + cell <= width; left += cell) {
      const { data } = crop(off, { top, left, height: cell, width: cell });
      for (let c = 0; c < channels; c++) {
        const plane = data.subarray(c * cell ** 2, (c + 1) * cell ** 2);
        tone = Math.max(tone, Math.abs(plane.reduce((n, v) => n + v, 0)) / cell ** 2);
      }
    }
  }
  const mse = norm(off.data) ** 2 / off.data.length;
  return {
    rms: norm(off.data) / norm(want.data),
    max: off.data.reduce((most, v) => Math.max(most, Math.abs(v)), 0),
    tone,
    psnr: 10 * Math.log10(4 / mse), // of values in [-1, 1]
  };
}

async function quality(model: DiffusionModel, file: string): Promise<void> {
  const image = picturesToTensor([await decodePicture(readFileSync(file), file)]);
  const latents = posteriorMean(await model.encodeImage(image));
  const whole = await model.decodeLatents(latents);
  const again = posteriorMean(await model.encodeImage(whole));
  const decode = distance(await model.decodeLatents(latents, tiles), whole, 32);
  const encode = distance(posteriorMean(await model.encodeImage(whole, tiles)), again, 4);
  console.log(JSON.stringify({ picture: file.replace(/.*\//, ""), tiles, decode, encode }));
}

async function cost(model: DiffusionModel, side: number): Promise<void> {
  const abort = new AbortController();
  const last = Number(values.stop ?? Number.POSITIVE_INFINITY);
  let made = 0;
  const onTile = (done: number, count: number): void => {
    made = done;
    told(done, count);
    if (done === last && done < count) abort.abort();
  };
  const run = tiles.tile > 0 ? { ...tiles, onTile, signal: abort.signal } : undefined;
  const { factor, vae } = model;
  const noise = torchCpuNoise(0);
  const started = performance.now();
  const passed = values.encode
    ? model.encodeImage(noise.randn([1, vae.inChannels, side, side]), run)
    : model.decodeLatents(noise.randn([1, vae.latentChannels, side / factor, side / factor]), run);
  await passed.catch((error: unknown) => {
    if (!abort.signal.aborted) throw error;
  });
  const seconds = (performance.now() - started) / 1000;
  const peakBytes = process.resourceUsage().maxRSS * 1024;
  const part = values.encode ? "encoder" : "decoder";
  const { dtype } = values;
  console.log(JSON.stringify({ part, dtype, side, tiles, made, seconds, peakBytes }));
}

function told(done: number, count: number): void {
  process.stderr.write(`tile ${done} of ${count}, ${process.memoryUsage().rss / 1e9} GB\n`);
}

const threads = values.threads === undefined ? undefined : Number(values.threads);
const dtype = DTYPE_CHOICES.find((name) => name === values.dtype);
await using model = await loadModel(positionals[0], { device: "cpu", dtype, threads });
for (const file of values.picture) await quality(model, file);
if (values.side !== undefined) await cost(model, Number(values.side));
