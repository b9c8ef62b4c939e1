import { expect, test } from "vitest";
import type { DiffusionModel } from "../../src/pipelines/index.js";
import { tensor } from "../../src/tensor/tensor.js";
import { watch } from "./watch.js";

const NOTHING = tensor([1], new Float32Array(1));

/** A clock, and a model whose parts take what `spend` says by it. */
function clocked(spend: { readonly [part: string]: () => void }) {
  let time = 0;
  const stopwatch = watch(() => time);
  const model = {
    encodePrompts: async () => {
      spend.text?.();
      return { hidden: NOTHING, truncated: [] };
    },
    predictor: () => async () => {
      spend.unet?.();
      return NOTHING;
    },
  } as unknown as DiffusionModel;
  const pass = (milliseconds: number): void => {
    time += milliseconds;
  };
  return { stopwatch, pass, model: stopwatch.around(model, () => {}) };
}

test("a call's time is without the loading of its own part", async () => {
  const { stopwatch, pass, model } = clocked({
    text() {
      pass(300);
      stopwatch.onLoaded("text", 300);
      pass(20);
    },
  });
  await model.encodePrompts([""]);
  expect(stopwatch.times).toMatchObject({ loadMs: 300, textMs: 20 });
});

test("what was loaded while another part worked counts once it is waited for", async () => {
  const { stopwatch, pass, model } = clocked({
    text: () => pass(500), // the UNet began to load at 0
    unet() {
      if (stopwatch.times.callMs.length > 0) return pass(7);
      pass(200);
      stopwatch.onLoaded("unet", 100);
      stopwatch.onLoaded("unet", 700);
      pass(7);
    },
  });
  await model.encodePrompts([""]);
  const predict = model.predictor({ deepCache: undefined, mergeTokens: 1 });
  await predict(NOTHING, 0, NOTHING);
  await predict(NOTHING, 0, NOTHING);
  expect(stopwatch.times).toMatchObject({ textMs: 500, loadMs: 200, callMs: [7, 7] });
});
