import { expect, test } from "vitest";
import { type Graph, graphOf } from "../graph/graph.js";
import { input } from "../graph/ops.js";
import type { Engine, LoadOptions, Program } from "../runtime/engine.js";
import type { StoredTensors } from "../tensor/stored.js";
import { type PartForm, type ProgramShelf, programShelf } from "./programShelf.js";

const graph = graphOf({ y: input("x", [1]) });
const form = (name: string): PartForm => ({
  form: name,
  source: () => ({ graph, weights: new Map() }),
});

/** A shelf over an engine that tells what it loads and frees; loads fail as often as `failures` says. */
function shelf({ lowMemory = false, failures = 0 } = {}) {
  const told: string[] = [];
  let failing = failures;
  const engine = {
    device: "cpu",
    async load(_graph: Graph, _weights: StoredTensors, { label }: LoadOptions) {
      told.push(`load ${label}`);
      await Promise.resolve();
      if (failing-- > 0) throw new Error("no memory");
      return {
        run: async () => ({}),
        [Symbol.asyncDispose]: async () => void told.push(`free ${label}`),
      };
    },
  } as unknown as Engine;
  return { told, shelf: programShelf({ engine, model: "it", lowMemory }) };
}

const useOf = (on: ProgramShelf, name: string, program = "unet") =>
  on.use("unet", form(name), async (programs) => await programs(program));

test("what was prepared is not loaded again", async () => {
  const { told, shelf: on } = shelf();
  on.prepare("unet", form("a"), ["text", "unet"]);
  expect(told).toEqual(["load UNet (text) of it", "load UNet of it"]);
  await useOf(on, "a");
  await useOf(on, "a", "text");
  expect(told).toHaveLength(2);
  expect(on.loaded()).toEqual(["unet"]);
});

test("what fails while it is prepared is told once it is used, and tried again after that", async () => {
  const { told, shelf: on } = shelf({ failures: 1 });
  on.prepare("unet", form("a"), ["unet"]);
  await expect(useOf(on, "a")).rejects.toThrow("no memory");
  await useOf(on, "a");
  expect(told).toEqual(["load UNet of it", "load UNet of it"]);
});

test("what failed long before it is used is simply tried again", async () => {
  const { shelf: on } = shelf({ failures: 1 });
  on.prepare("unet", form("a"), ["unet"]);
  await new Promise((done) => setTimeout(done));
  await useOf(on, "a");
});

test("what fails while it is prepared can be freed", async () => {
  const { told, shelf: on } = shelf({ failures: 1 });
  on.prepare("unet", form("a"), ["unet", "text"]);
  await on.release("unet");
  expect(told).toEqual(["load UNet of it", "load UNet (text) of it", "free UNet (text) of it"]);
  expect(on.loaded()).toEqual([]);
});

test("another form waits for its turn", async () => {
  const { told, shelf: on } = shelf();
  await useOf(on, "a");
  on.prepare("unet", form("b"), ["unet"]);
  expect(told).toEqual(["load UNet of it"]);
  await useOf(on, "b");
  expect(told).toEqual(["load UNet of it", "free UNet of it", "load UNet of it"]);
});

test("nothing is prepared where one part is kept at a time", () => {
  const { told, shelf: on } = shelf({ lowMemory: true });
  on.prepare("unet", form("a"), ["unet"]);
  expect(told).toEqual([]);
});

test("a program that is loaded already is taken, once", async () => {
  const { told, shelf: on } = shelf();
  const freed: string[] = [];
  const waiting: Program[] = [
    { run: async () => ({}), [Symbol.asyncDispose]: async () => void freed.push("taken") },
  ];
  const taking: PartForm = {
    form: "a",
    source: () => ({ graph, weights: new Map(), loaded: async () => waiting.pop() }),
  };
  const use = () => on.use("unet", taking, async (programs) => void (await programs("unet")));
  await use();
  expect(told).toEqual([]);
  await on.release("unet");
  expect(freed).toEqual(["taken"]);
  await use();
  expect(told).toEqual(["load UNet of it"]);
});
