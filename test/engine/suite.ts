import { afterAll, describe, expect, test } from "vitest";
import { nodePlatform } from "../../src/platform/node/platform.js";
import type { Engine } from "../../src/runtime/engine.js";
import { type NodeEngineOptions, nodeEngine } from "../../src/runtime/node/engine.js";
import { ENGINE_CASES, type EngineCase } from "./cases.js";
import { modelCases, TINY_MODELS } from "./models.js";
import { engineError } from "./run.js";

/** How near an engine must come: relative errors of single operators and of whole networks. */
export interface Tolerance {
  readonly operators: number;
  readonly networks: number;
}

const platform = nodePlatform();
const GOLDEN = "test/golden";

/** Declares the tests that every device must pass, on an engine that is closed after them. */
export async function engineSuite(
  title: string,
  options: Omit<NodeEngineOptions, "platform"> | (() => Engine),
  tolerance: Tolerance,
  { cases = ENGINE_CASES, models = TINY_MODELS }: Partial<SuiteContent> = {},
): Promise<void> {
  const tiny = await Promise.all(
    models.map(async (name) => ({ name, cases: await modelCases(platform, GOLDEN, name) })),
  );
  describe(title, () => {
    const engine =
      typeof options === "function"
        ? options()
        : nodeEngine({ platform, cacheLimit: 0, ...options });
    afterAll(() => engine[Symbol.asyncDispose]());

    test.each(cases)("$name is what the float64 evaluator says", async (engineCase) => {
      expect(await engineError(engine, engineCase)).toBeLessThan(tolerance.operators);
    });

    describe.each(tiny)("$name", (model) => {
      test.each(model.cases)("$name is what PyTorch says", async ({ error }) => {
        expect(await error(engine)).toBeLessThan(tolerance.networks);
      });
    });
  });
}

/** What the suite covers: everything, unless a slow device is asked for less. */
export interface SuiteContent {
  readonly cases: readonly EngineCase[];
  readonly models: readonly string[];
}
