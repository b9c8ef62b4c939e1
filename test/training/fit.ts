import { setTimeout as sleep } from "node:timers/promises";
import * as v from "valibot";
import { picture } from "../../src/image/picture.js";
import { canvasContext } from "../../src/platform/node/canvas.js";
import { nodePlatform } from "../../src/platform/node/platform.js";
import type { Platform } from "../../src/platform/types.js";
import type { Engine } from "../../src/runtime/engine.js";
import { torchGenerator } from "../../src/tensor/mt19937.js";
import { type Tensor, tensor } from "../../src/tensor/tensor.js";
import {
  type ConfigSchema,
  type RunConfig,
  real,
  runEntries,
  whole,
} from "../../src/training/config.js";
import { readPart, type Task, type TaskContext, type TaskKind } from "../../src/training/task.js";
import type { TrainOptions } from "../../src/training/train.js";

/*
 * The smallest training there is, in plain TypeScript: a vector learns another from noisy looks at
 * it, with momentum. Its state is two files of `size` numbers.
 */

export interface FitConfig extends RunConfig {
  readonly size: number;
  readonly learningRate: number;
  /** Milliseconds that a step takes. */
  readonly pause: number;
  /** Whether a part of the state is handed out when it is written. */
  readonly lazy: boolean;
  /** The loss of this step, counted from 1, is NaN, or huge. */
  readonly spoilAt?: number | undefined; // a weight becomes NaN after this step
  readonly nanAt?: number | undefined;
  readonly explodeAt?: number | undefined;
}

const schema: ConfigSchema<FitConfig> = v.strictObject({
  ...runEntries,
  size: v.optional(whole(1), 64),
  learningRate: v.optional(real(0, 1), 0.05),
  pause: v.optional(real(0), 0),
  lazy: v.optional(v.boolean(), false),
  nanAt: v.optional(whole(1)),
  spoilAt: v.optional(whole(1)),
  explodeAt: v.optional(whole(1)),
});

const target = (i: number): number => Math.sin(i / 7);

export const FIT: TaskKind<FitConfig> = { name: "fit", schema, open: openFit };

async function openFit(config: FitConfig, { platform }: TaskContext): Promise<Task> {
  const { size, seed, learningRate } = config;
  let weights = Float32Array.from({ length: size }, (_, i) => Math.cos(seed + i));
  let momentum = new Float32Array(size);
  let batch: string[] = [];
  const state = (data: Float32Array<ArrayBuffer>): Map<string, Tensor> =>
    new Map([["w", tensor([size], data.slice())]]);
  return {
    examplesPerStep: 4,
    skipped: new Map(),
    get lastBatch() {
      return batch;
    },
    async step(step) {
      if (config.pause > 0) await sleep(config.pause);
      batch = [0, 1, 2, 3].map((k) => `look-${4 * step + k}`);
      const noise = torchGenerator(BigInt(seed * 1_000_003 + step)).randn(64);
      let loss = 0;
      for (let i = 0; i < size; i++) {
        const error = weights[i]! - target(i) - 0.1 * noise[i % 64]!;
        loss += error ** 2 / size;
        momentum[i] = 0.9 * momentum[i]! + error;
        weights[i]! -= learningRate * momentum[i]!;
      }
      if (config.spoilAt === step + 1) weights[size >> 1] = Number.NaN;
      if (config.nanAt === step + 1) loss = Number.NaN;
      if (config.explodeAt === step + 1) loss = 1e9;
      return { loss, distance: Math.sqrt(loss) };
    },
    save: async () => ({
      params: state(weights),
      momentum: config.lazy ? async () => state(momentum) : state(momentum),
    }),
    async restore(saved) {
      weights = (await readPart(saved.params!)).get("w")!.data.slice();
      momentum = (await readPart(saved.momentum!)).get("w")!.data.slice();
    },
    async export(folder) {
      const bytes = new Uint8Array(weights.slice().buffer);
      await platform.files.writeAtomically(`${folder}/weights.bin`, [bytes]);
    },
    async samples() {
      const level = Math.min(255, Math.max(0, Math.round(128 + 60 * weights[0]!)));
      const data = new Uint8Array(16 * 16 * 3).fill(level);
      return [
        {
          caption: "a grey square, which is all that such a vector can show",
          picture: picture(16, 16, data),
        },
        { caption: "another", picture: picture(16, 16, data) },
      ];
    },
    async [Symbol.asyncDispose]() {},
  };
}

/** Options for a run of a fit, which needs no engine. */
export function fitOptions(
  run: string,
  more: Partial<TrainOptions> & {
    readonly platform?: Platform;
    readonly notice?: (message: string) => void;
    readonly signal?: AbortSignal;
  } = {},
): TrainOptions {
  const { platform = nodePlatform(), notice = () => {}, signal, ...rest } = more;
  const startWorker = undefined as never; // a fit needs none
  return {
    run,
    context: { platform, startWorker, notice, signal },
    startEngine: () => ({ async [Symbol.asyncDispose]() {} }) as Partial<Engine> as Engine,
    canvas: canvasContext,
    ...rest,
  };
}
