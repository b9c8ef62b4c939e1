import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { KERNELS, kernelsModule } from "./buildKernels.js";

test.each(KERNELS)("$target is what $source compiles to", async (kernel) => {
  const path = new URL(`../${kernel.target}`, import.meta.url);
  expect(await kernelsModule(kernel)).toBe(await readFile(path, "utf8"));
});
