import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { kernelsModule } from "./buildKernels.js";

test("the optimizers' kernels are what their source compiles to", async () => {
  const path = new URL("../src/optim/kernelsWasm.ts", import.meta.url);
  expect(await kernelsModule()).toBe(await readFile(path, "utf8"));
});
