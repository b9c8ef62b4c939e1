import { afterAll, describe, expect, test } from "vitest";
import { nodePlatform } from "../../src/platform/node/platform.js";
import type { Engine } from "../../src/runtime/engine.js";
import { nodeEngine } from "../../src/runtime/node/engine.js";
import { findAdapter, useAdapter } from "./adapters.js";
import { ENGINE_CASES } from "./cases.js";
import { engineError } from "./run.js";

const adapter = findAdapter();
const why = "no software Vulkan driver found: install mesa-vulkan-drivers 25 or chromium";

describe.skipIf(adapter === undefined)(`WebGPU on ${adapter?.name ?? `nothing (${why})`}`, () => {
  if (adapter !== undefined) useAdapter(adapter);
  const engines: Engine[] = [];
  const open = (options: { compute?: "f16" } = {}): Engine => {
    const engine = nodeEngine({ platform: nodePlatform(), device: "webgpu", ...options });
    engines.push(engine);
    return engine;
  };
  afterAll(() => Promise.all(engines.map((e) => e[Symbol.asyncDispose]())));

  const full = adapter ? open() : undefined;
  test.each(ENGINE_CASES)(
    "$name is what the float64 evaluator says, with no operator on the CPU",
    async (engineCase) => {
      expect(await engineError(full!, engineCase)).toBeLessThan(1e-5);
    },
  );

  describe.skipIf(!adapter?.halfPrecision)("in half precision", () => {
    const half = adapter?.halfPrecision ? open({ compute: "f16" }) : undefined;
    test.each(ENGINE_CASES)("$name is near what the float64 evaluator says", async (engineCase) => {
      expect(await engineError(half!, engineCase)).toBeLessThan(5e-3);
    });
  });
});
