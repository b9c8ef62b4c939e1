import { afterAll } from "vitest";
import { scratch, watchedEngine } from "../runtime/support.js";
import { engineSuite } from "./suite.js";

/** Weights of any size are kept in blocks here. */
const folder = await scratch();
afterAll(() => folder[Symbol.asyncDispose]());

await engineSuite(
  "on the CPU, over weights in blocks",
  () => watchedEngine(folder.path, { blocks: true }),
  { operators: 2e-6, networks: 1e-5 },
);
