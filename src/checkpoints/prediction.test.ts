import { expect, test } from "vitest";
import { tensor } from "../tensor/tensor.js";
import { predictionFromProbe, predictionFromYaml, predictionOfScheduler } from "./prediction.js";

/** A fixed sequence that is as good as normal noise here: sums of uniform numbers. */
function noise(n: number, seed: number): Float32Array<ArrayBuffer> {
  let state = seed;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  return Float32Array.from({ length: n }, () => {
    let sum = -6;
    for (let i = 0; i < 12; i++) sum += uniform();
    return sum;
  });
}

// The last timestep of Stable Diffusion: alpha^2 = 0.00466.
const alpha = Math.sqrt(0.00466);
const sigma = Math.sqrt(1 - 0.00466);
const shape = [1, 4, 16, 16];
const x = tensor(shape, noise(1024, 1));
/** A network's idea of the picture: flat colours, some error. */
const picture = noise(1024, 7).map((e, i) => (i < 512 ? 0.8 : -0.5) + 0.3 * e);

test("a network that predicts noise is told from one that predicts v by one run", () => {
  const eps = x.data.map((value, i) => (value - alpha * picture[i]!) / sigma);
  const v = x.data.map((value, i) => (alpha * value - picture[i]!) / sigma);
  expect(predictionFromProbe(x, tensor(shape, eps))).toBe("epsilon");
  expect(predictionFromProbe(x, tensor(shape, v))).toBe("v_prediction");
});

test.each([
  ['    parameterization: "v"', "v_prediction"],
  ["parameterization: v # as trained", "v_prediction"],
  ["parameterization: eps", "epsilon"],
  ["parameterization: 'x0'", "sample"],
  ['# parameterization: "v"', "epsilon"],
  ["model:\n  target: ldm", "epsilon"],
])("a .yaml that says %j", (yaml, prediction) => {
  expect(predictionFromYaml(yaml)).toBe(prediction);
});

test("a scheduler without prediction_type predicts noise, as in diffusers", () => {
  expect(predictionOfScheduler({}, "s.json")).toBe("epsilon");
  expect(predictionOfScheduler({ prediction_type: "sample" }, "s.json")).toBe("sample");
});
