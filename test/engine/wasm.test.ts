import { afterAll, expect, test } from "vitest";
import { nodePlatform } from "../../src/platform/node/platform.js";
import { nodeEngine } from "../../src/runtime/node/engine.js";
import { ENGINE_CASES } from "./cases.js";
import { engineError } from "./run.js";

const engine = nodeEngine({ platform: nodePlatform(), device: "wasm" });
afterAll(() => engine[Symbol.asyncDispose]());

test.each(ENGINE_CASES)(
  "$name in WebAssembly is what the float64 evaluator says",
  async (engineCase) => {
    expect(await engineError(engine, engineCase)).toBeLessThan(2e-6);
  },
);
