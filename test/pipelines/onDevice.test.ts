import { beforeAll, describe, expect, test } from "vitest";
import { loadModelFiles, type ModelFiles } from "../../src/checkpoints/index.js";
import { type DiffusionModel, nodePlatform, openModel } from "../../src/node.js";
import type { Engine, OnDevice } from "../../src/runtime/engine.js";
import { nodeEngine } from "../../src/runtime/node/engine.js";
import { torchCpuNoise } from "../../src/tensor/random.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import { findAdapter, useAdapter } from "../engine/adapters.js";
import { relativeError } from "../engine/run.js";

/*
 * A UNet in three programs on WebGPU: what goes from one to another stays on the device, and the
 * numbers are those of the CPU.
 */

const adapter = findAdapter();
const platform = nodePlatform();
const shortcuts = { deepCache: { every: 2, branch: 1, power: 1 }, mergeTokens: 1 };

const noise = torchCpuNoise(1);
const X = noise.randn([2, 4, 8, 8]);
const LATER = noise.randn([2, 4, 8, 8]);

/** Predictions of one call, and of a second that takes the first one's deep features. */
async function predictions(model: DiffusionModel, context: Tensor): Promise<readonly Tensor[]> {
  const predict = model.predictor(shortcuts);
  return [await predict(X, 481, context), await predict(LATER, 461, context, { reuse: true })];
}

/** What programs of the UNet were asked, and how much of it came from the device. */
function watched(engine: Engine, events: string[]): Engine {
  return {
    ...engine,
    async load(graph, weights, options) {
      const program = await engine.load(graph, weights, options);
      const name = /\((\w+)\)/.exec(options.label)?.[1] ?? "unet";
      const note = (how: string, inputs: Parameters<OnDevice["run"]>[0]): void => {
        const there = [...graph.inputs.keys()].filter((input) => "resident" in inputs[input]!);
        events.push(`${name} ${how}: ${there.sort().join(", ")}`);
      };
      const { onDevice } = program;
      if (!onDevice) return program;
      const { run, leave } = onDevice;
      return {
        ...program,
        onDevice: {
          async run(inputs) {
            note("returns", inputs);
            return await run(inputs);
          },
          ...(leave && {
            async leave(inputs) {
              note("leaves", inputs);
              return await leave(inputs);
            },
          }),
        },
      };
    },
  };
}

describe.skipIf(adapter === undefined)(
  "a UNet in three programs on WebGPU",
  { timeout: 600_000 },
  () => {
    let files: ModelFiles;
    let context: Tensor;
    let wanted: readonly Tensor[];
    beforeAll(async () => {
      useAdapter(adapter!);
      files = await loadModelFiles(await platform.openFolder("test/golden/models/micro"), {});
      context = noise.randn([2, 77, files.unet.config.crossAttentionDim]);
      await using engine = nodeEngine({ platform, device: "cpu", threads: 1, cacheLimit: 0 });
      await using model = await openModel(files, { engine });
      wanted = await predictions(model, context);
    });

    const precisions = [["f32", 1e-4] as const, ["f16", 2e-2] as const];
    const supported = precisions.filter(([name]) => name === "f32" || adapter?.halfPrecision);
    test.each(supported)("hands on in %s, and predicts as on the CPU", async (compute, limit) => {
      const events: string[] = [];
      await using engine = nodeEngine({ platform, device: "webgpu", compute, cacheLimit: 0 });
      await using model = await openModel(files, { engine: watched(engine, events) });
      const got = await predictions(model, context);
      const skips = "skip.0, skip.1";
      expect(events).toEqual([
        "down leaves: ",
        "deep leaves: skip.1, temb",
        `up returns: features, ${skips}, temb`,
        "down leaves: ",
        `up returns: features, ${skips}, temb`,
      ]);
      got.forEach((y, i) => {
        expect(relativeError(y.data, wanted[i]!.data)).toBeLessThan(limit);
      });
    });
  },
);
