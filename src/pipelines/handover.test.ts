import { expect, test } from "vitest";
import type { Program } from "../runtime/engine.js";
import { handover, type ProgramKey } from "./handover.js";

/** A program that notes when it is freed. */
function program(freed: string[], name: string): Program {
  return {
    run: async () => ({}),
    [Symbol.asyncDispose]: async () => void freed.push(name),
  };
}

const UNET: ProgramKey = { part: "unet", form: "whole", name: "unet" };
const TEXT: ProgramKey = { ...UNET, name: "text" };
const DECODER: ProgramKey = { part: "decoder", form: "", name: "decoder" };

test("programs are freed before it is open, and kept from then on until they are taken", async () => {
  const freed: string[] = [];
  const hands = handover();
  const [first, second] = ["first", "second"].map((name) => program(freed, name));
  await hands.lent(UNET, first!)[Symbol.asyncDispose]();
  expect(freed).toEqual(["first"]);
  expect(await hands.take(UNET)).toBeUndefined();
  const lent = hands.lent(UNET, second!);
  hands.open();
  expect(await hands.take(UNET)).toBeUndefined(); // its owner has it still
  await lent[Symbol.asyncDispose]();
  expect(freed).toEqual(["first"]);
  expect(await hands.take(UNET)).toBe(second);
  expect(await hands.take(UNET)).toBeUndefined();
});

test("another form of a part frees what was kept of it, and nothing else", async () => {
  const freed: string[] = [];
  const hands = handover();
  hands.open();
  for (const key of [UNET, TEXT, DECODER])
    await hands.lent(key, program(freed, key.name))[Symbol.asyncDispose]();
  expect(await hands.take(TEXT)).toBeDefined();
  expect(await hands.take({ part: "unet", form: "in three", name: "down" })).toBeUndefined();
  expect(freed).toEqual(["unet"]);
  expect(await hands.take(DECODER)).toBeDefined();
});
