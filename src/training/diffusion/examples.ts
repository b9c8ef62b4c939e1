import { type VaeConfig, vaeFactor } from "../../models/vae/config.js";
import { encoderGraph } from "../../pipelines/graphs.js";
import type { Platform } from "../../platform/types.js";
import type { StoredTensors } from "../../tensor/stored.js";
import type { Tensor } from "../../tensor/tensor.js";
import { counted } from "../../util/counted.js";
import { opening } from "../../util/opening.js";
import {
  type Batch,
  type BatchSource,
  cacheLatents,
  checkSizes,
  openData,
  type Stepped,
} from "../data/index.js";
import type { TaskContext } from "../task.js";
import type { DiffusionConfig } from "./config.js";
import type { DiffusionParts, Network } from "./parts.js";

/** What the UNet learns from at one step. */
export interface Examples {
  /** The autoencoder's mean and logvar [B,2C,h,w]. */
  readonly moments: Tensor;
  readonly captions: readonly string[];
  readonly names: readonly string[];
}

/** Examples by step; their captions where all of them are known. */
export interface ExampleSource extends Stepped<Examples> {
  readonly captions?: readonly string[];
}

/** Pictures that the autoencoder is given at a time when a cache is filled. */
const ENCODED_AT_ONCE = 8;

/** Opens pictures and the autoencoder before them, or the latents that are kept of them. */
export async function openExamples(
  config: Pick<DiffusionConfig, "data" | "batchSize" | "seed" | "cache">,
  context: TaskContext,
  { vae }: Pick<DiffusionParts, "vae">,
): Promise<ExampleSource> {
  const pictures = await opening(async (use) => {
    const data = use(await openData(config.data, { ...context, ...config }));
    checkSizes(data, vaeFactor(vae.config));
    const options = { label: "encoder of the autoencoder", fullPrecision: true };
    const { engine } = context;
    const encoder = use(await engine.load(encoderGraph(vae.config), vae.weights, options));
    return {
      data,
      encode: async ({ images }: Batch) => (await encoder.run({ image: images })).moments!,
    };
  });
  if (config.cache !== undefined) {
    await using open = pictures;
    return await cached(open, config.cache, config, context, vae);
  }
  const { data, encode } = pictures;
  const { size, sizes, stepsPerEpoch, skipped, fingerprint } = data;
  return {
    ...{ size, sizes, stepsPerEpoch, skipped, fingerprint },
    async batch(step) {
      const batch = await data.batch(step);
      return { ...batch, moments: await encode(batch) };
    },
    [Symbol.asyncDispose]: () => pictures[Symbol.asyncDispose](),
  };
}

async function cached(
  pictures: { readonly data: BatchSource; readonly encode: (batch: Batch) => Promise<Tensor> },
  folder: string,
  { batchSize, seed }: Pick<DiffusionConfig, "batchSize" | "seed">,
  { platform, notice, signal }: TaskContext,
  vae: Network<VaeConfig>,
): Promise<ExampleSource> {
  let told = -1;
  const latents = await cacheLatents(pictures.data, pictures.encode, {
    platform,
    folder,
    key: await digest(platform, vae.weights),
    batchSize: ENCODED_AT_ONCE,
    signal,
    onProgress(done, total) {
      const tenths = Math.floor((10 * done) / total);
      if (tenths > told)
        notice(`latents of ${done} of ${counted(total, "picture")} are in ${folder}`);
      told = Math.max(told, tenths);
    },
  });
  const batches = latents.batches({ batchSize, seed });
  return {
    ...batches,
    captions: latents.captions,
    fingerprint: pictures.data.fingerprint,
    async batch(step) {
      const { latents: moments, ...rest } = await batches.batch(step);
      return { ...rest, moments };
    },
  };
}

/** Hexadecimal digest of weights: what a cache of their results is named after. */
export async function digest(platform: Platform, weights: StoredTensors): Promise<string> {
  const hash = platform.hash("sha256");
  for (const [name, { dtype, shape, source, offset, length }] of weights) {
    hash.update(new TextEncoder().encode(`${name} ${dtype} ${shape}\n`));
    hash.update(await source.read(offset, length));
  }
  return await hash.digest();
}
