import { expect, test } from "vitest";
import { TintypeError } from "../src/util/errors.js";
import { fakeTerminal } from "../test/cli/fakeTerminal.js";
import { EXIT, report } from "./report.js";

test("an error is told, whatever failed while things were put away after it", async () => {
  const failing = async (): Promise<void> => {
    await using _ = { [Symbol.asyncDispose]: () => Promise.reject(new Error("second")) };
    await using __ = { [Symbol.asyncDispose]: () => Promise.reject(new Error("third")) };
    throw new TintypeError("out-of-memory", "the first.");
  };
  const terminal = fakeTerminal();
  const error = await failing().catch((thrown: unknown) => thrown);
  expect(report(error, terminal)).toBe(EXIT.refused);
  expect(terminal.stderr()).toBe("tintype: the first.\n");
});

test("of what a file has written into a message nothing reaches the terminal as an order", () => {
  const terminal = fakeTerminal();
  report(new TintypeError("bad-file", "\u001b[2Jmodel\r.bin: cut short.\nTry another."), terminal);
  expect(terminal.stderr()).toBe("tintype: \\u001b[2Jmodel\\r.bin: cut short.\nTry another.\n");
});
