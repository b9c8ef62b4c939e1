/**
 * Writes models/postcards: the model that comes with Tintype, as a diffusers folder of seeded random
 * weights. It is untrained, and its model_index.json says so. Run: npx tsx scripts/makePostcards.ts
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import {
  clipConfigJson,
  modelIndexJson,
  unetConfigJson,
  vaeConfigJson,
} from "../src/checkpoints/configJson.js";
import { type TensorToWrite, writeSafetensors } from "../src/formats/index.js";
import { symbol } from "../src/graph/dim.js";
import { input } from "../src/graph/ops.js";
import { CLIP_L_TEXT, type ClipTextConfig } from "../src/models/clip/config.js";
import { clipTextEncoder, tokenEmbedding } from "../src/models/clip/model.js";
import { SD1_UNET, type UNetConfig } from "../src/models/unet/config.js";
import { unet } from "../src/models/unet/model.js";
import { SD_VAE, type VaeConfig } from "../src/models/vae/config.js";
import { vaeDecoder, vaeEncoder } from "../src/models/vae/model.js";
import { denseParams } from "../src/nn/layers.js";
import type { Params, RootParams } from "../src/nn/params.js";
import { torchGenerator } from "../src/tensor/mt19937.js";
import { sizeOf } from "../src/tensor/tensor.js";
import { clipMerges, clipVocabulary } from "../src/text/clip.js";
import { clipTokenizerFiles } from "../src/text/clipFiles.js";

const SEED = 1853n; // the year of the first tintype
const PICTURE = 128;
const MERGES = 2000;

const merges = (await clipMerges()).slice(0, MERGES);
const vocabulary = clipVocabulary(merges);

const TEXT: ClipTextConfig = {
  ...CLIP_L_TEXT,
  vocabSize: vocabulary.size,
  hiddenSize: 48,
  intermediateSize: 96,
  layers: 2,
  heads: 3,
};

const UNET: UNetConfig = {
  ...SD1_UNET,
  sampleSize: PICTURE / 8,
  blocks: ["crossAttention", "crossAttention", "resnet"],
  blockOutChannels: [16, 32, 48],
  heads: [2, 4, 6],
  transformerLayers: [1, 1, 1],
  layersPerBlock: 1,
  crossAttentionDim: TEXT.hiddenSize,
  normNumGroups: 8,
};

const VAE: VaeConfig = {
  ...SD_VAE,
  blockOutChannels: [8, 16, 16, 16],
  layersPerBlock: 1,
  normNumGroups: 4,
};

const folder = resolve(import.meta.dirname, "../models/postcards");

function writeText(path: string, text: string): void {
  const file = join(folder, path);
  mkdirSync(resolve(file, ".."), { recursive: true });
  writeFileSync(file, text);
}

const writeJson = (path: string, value: unknown): void =>
  writeText(path, `${JSON.stringify(value, null, 2)}\n`);

/** Draws every declared parameter in the order of declaration. */
function randomWeights({ declared }: RootParams, seed: bigint): Map<string, TensorToWrite> {
  const generator = torchGenerator(seed);
  return new Map(
    [...declared.values()].map(({ name, shape, init }) => {
      const n = sizeOf(shape);
      const values =
        init.kind === "constant"
          ? new Float32Array(n).fill(init.value)
          : init.kind === "normal"
            ? generator.randn(n).map((x) => x * init.std)
            : generator.rand(n).map((x) => (2 * x - 1) * init.bound);
      return [name, { dtype: "f32", shape, bytes: new Uint8Array(values.buffer) }];
    }),
  );
}

async function writeWeights(path: string, model: (p: Params) => void, seed: bigint): Promise<void> {
  const params = denseParams();
  model(params);
  const chunks: Uint8Array[] = [];
  const sink = { write: async (bytes: Uint8Array) => void chunks.push(bytes) };
  await writeSafetensors(randomWeights(params, seed), { format: "pt" }, sink);
  mkdirSync(resolve(folder, path, ".."), { recursive: true });
  writeFileSync(join(folder, path), Buffer.concat(chunks));
}

const [b, h, w] = [symbol("b"), symbol("h"), symbol("w")];

await writeWeights(
  "text_encoder/model.safetensors",
  (p) => clipTextEncoder(p, TEXT, tokenEmbedding(p, TEXT, input("ids", [b, 77], "int"))),
  SEED,
);
await writeWeights(
  "unet/diffusion_pytorch_model.safetensors",
  (p) =>
    unet(p, UNET, {
      x: input("x", [b, 4, h, w]),
      t: input("t", [b]),
      context: input("context", [b, 77, TEXT.hiddenSize]),
    }),
  SEED + 1n,
);
await writeWeights(
  "vae/diffusion_pytorch_model.safetensors",
  (p) => {
    vaeEncoder(p, VAE, input("image", [b, 3, PICTURE, PICTURE]));
    vaeDecoder(p, VAE, input("latents", [b, 4, h, w]));
  },
  SEED + 2n,
);

const end = vocabulary.get("<|endoftext|>")!;
writeJson("model_index.json", {
  ...modelIndexJson("DDIMScheduler"),
  _tintype: { untrained: true },
});
writeJson("unet/config.json", unetConfigJson(UNET));
writeJson("vae/config.json", vaeConfigJson(VAE, PICTURE));
writeJson("text_encoder/config.json", clipConfigJson(TEXT, { start: end - 1, end }));
writeJson("scheduler/scheduler_config.json", {
  _class_name: "DDIMScheduler",
  beta_end: 0.012,
  beta_schedule: "scaled_linear",
  beta_start: 0.00085,
  clip_sample: false,
  num_train_timesteps: 1000,
  prediction_type: "epsilon",
  set_alpha_to_one: false,
  steps_offset: 1,
});
for (const [name, text] of Object.entries(clipTokenizerFiles(merges, 77))) {
  writeText(`tokenizer/${name}`, text);
}
writeText(
  "README.md",
  `# Postcards

The model that \`tintype generate\` uses without \`--model\`: a small latent diffusion model in the
layout of a diffusers folder, for ${PICTURE}x${PICTURE} pictures.

**It is untrained.** Its weights are seeded random numbers, written by \`scripts/makePostcards.ts\`,
so its pictures are textures, not scenes. It is here so that everything runs from a fresh clone,
offline, in seconds. Its vocabulary is the first ${MERGES} merges of CLIP's, which are MIT licensed
(see \`src/text/LICENSE-open_clip.txt\`).
`,
);
console.log(`wrote ${folder}`);
