import { describe, test } from "vitest";
import { findAdapter, useAdapter } from "./adapters.js";
import { ENGINE_CASES } from "./cases.js";
import { engineSuite } from "./suite.js";

/*
 * Sessions on WebGPU refuse operators that would fall back to the CPU, so what passes here ran on
 * the adapter as a whole.
 */

const adapter = findAdapter();
if (adapter === undefined) {
  const why = "no software Vulkan driver found: install mesa-vulkan-drivers 25 or chromium";
  test.skip(`WebGPU (${why})`, () => {});
} else {
  useAdapter(adapter);
  const title = `on WebGPU (${adapter.name})`;
  await engineSuite(title, { device: "webgpu" }, { operators: 1e-5, networks: 1e-4 });

  if (adapter.halfPrecision) {
    const half = { device: "webgpu", compute: "f16" } as const;
    const tolerance = { operators: 5e-3, networks: 1e-2 };
    const models = ["tiny-sd2", "micro-bf16"];
    await engineSuite(`${title} in half precision`, half, tolerance, { models });
  } else {
    describe.skip(`${title} in half precision: the adapter has no shader-f16`, () => {
      test.each(ENGINE_CASES)("$name", () => {});
    });
  }
}
