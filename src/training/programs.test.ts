import { expect, test } from "vitest";
import { byShape } from "./programs.js";

test("a program that could not be made is told of once, and the others are let go", async () => {
  const ended: string[] = [];
  const programs = byShape(async (shape) => {
    if (shape.length === 0) throw new Error("no such program");
    return { [Symbol.asyncDispose]: async () => void ended.push(`${shape}`) };
  });
  await programs.get([1, 2]);
  await expect(programs.get([])).rejects.toThrow("no such program");
  await programs.get([3]);
  await programs[Symbol.asyncDispose]();
  expect(ended).toEqual(["1,2", "3"]);
});
