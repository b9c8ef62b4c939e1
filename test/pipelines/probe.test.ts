import { expect, test } from "vitest";
import { findModel } from "../../src/node.js";
import { openModel } from "../../src/pipelines/index.js";
import type { Engine } from "../../src/runtime/engine.js";
import { scale } from "../../src/tensor/elementwise.js";
import { type Tensor, zeros } from "../../src/tensor/tensor.js";

/** An engine whose UNet gives `slope` times its input, and whose text encoder gives zeros. */
function linearUNet(slope: number): Engine {
  return {
    device: "cpu",
    load: async (graph) => ({
      run: async (inputs): Promise<Record<string, Tensor>> =>
        graph.outputs.prediction
          ? { prediction: scale(inputs.x!, slope) }
          : { hidden: zeros(inputs.tokens!.shape) },
      [Symbol.asyncDispose]: async () => {},
    }),
    get training(): never {
      throw new Error("it only runs");
    },
    [Symbol.asyncDispose]: async () => {},
  };
}

test.each([
  ["gives the noise back", 0.98, "epsilon", 64],
  ["ignores the noise", 0.02, "v_prediction", 96],
  ["leans against it", -0.05, "v_prediction", 96],
])("a network that %s is found out by one run", async (_, slope, prediction, side) => {
  const files = await findModel("test/golden/models/micro");
  const unknown = { ...files, family: "sd2", prediction: "probe" } as const;
  await using model = await openModel(unknown, {
    engine: linearUNet(slope),
    textApart: false,
  });
  expect(model.prediction).toBe(prediction);
  expect(model.scheduler.values.prediction_type).toBe(prediction);
  expect(model.unet.sampleSize).toBe(side);
});
