export type TinyKind = "autoencoder" | "clip" | "diffusion";

const MICRO: string = new URL("../golden/models/micro", import.meta.url).pathname;

/** Trainings of each kind that take a few seconds. */
export const TINY: Readonly<Record<TinyKind, object>> = {
  autoencoder: {
    data: { kind: "postcards", crop: 32 },
    batchSize: 2,
    steps: 12,
    model: {
      blockOutChannels: [8, 16],
      layersPerBlock: 1,
      normNumGroups: 4,
      midBlockAttention: false,
    },
    adversarial: { start: 6, channels: 4, layers: 2 },
    ema: {},
    checkpoints: { every: 2 },
    samples: { every: 5 },
    threads: 1,
    scaleBatches: 1,
  },
  clip: {
    data: { kind: "postcards" },
    batchSize: 2,
    steps: 8,
    model: {
      tokenizer: "postcards",
      text: { hiddenSize: 16, intermediateSize: 32, layers: 1, heads: 2 },
      vision: {
        hiddenSize: 16,
        intermediateSize: 32,
        layers: 1,
        heads: 2,
        imageSize: 128,
        patchSize: 32,
      },
      projectionDim: 8,
    },
    ema: {},
    checkpoints: { every: 2 },
    threads: 1,
  },
  diffusion: {
    data: { kind: "postcards", crop: 64 },
    batchSize: 2,
    accumulate: 2,
    steps: 8,
    from: MICRO,
    text: { train: true },
    logitNormal: {},
    ema: { decay: 0.9 },
    checkpoints: { every: 2 },
    samples: { every: 5, prompts: ["a red house"] },
    sampling: { steps: 2 },
    threads: 1,
  },
};
