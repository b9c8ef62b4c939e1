import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { fakeTerminal } from "../test/cli/fakeTerminal.js";
import { lineOf, type Progress, progressOn, type View } from "./progress.js";
import type { Terminal } from "./terminal.js";

let time = 0;
beforeEach(() => {
  time = 0;
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const terminalAt = (settings: Partial<Terminal> = {}) =>
  fakeTerminal({ now: () => time, ...settings });

/** Two steps of a run of three, 1.5 s each, and half a second of the third. */
const STEPS: View = { kind: "steps", title: "step", done: 2, total: 3, spent: 3000, since: 3000 };

test("a line shows a bar, the pace and the time left", () => {
  expect(lineOf(STEPS, 3500, 80, true)).toBe(
    "████████████████░░░░░░░░  step 2/3, 1.50 s/it, 1.0 s left",
  );
  expect(lineOf(STEPS, 3500, 80, false)).toBe(
    "################........  step 2/3, 1.50 s/it, 1.0 s left",
  );
});

test("a narrow screen gets the text alone, cut to its width", () => {
  expect(lineOf(STEPS, 3500, 40, true)).toBe("step 2/3, 1.50 s/it, 1.0 s left");
  expect(lineOf(STEPS, 3500, 10, true)).toBe("step 2/3, ");
});

test("a training shows loss, samples per second and time left", () => {
  const at = { step: 500, steps: 2000, loss: 0.12345, samplesPerSecond: 41.23, left: 187_000 };
  expect(lineOf({ kind: "training", at }, 0, 90, true)).toBe(
    "██████░░░░░░░░░░░░░░░░░░  step 500/2000, loss 0.1235, 41.2 samples/s, 3:07 min left",
  );
  expect(lineOf({ kind: "training", at: { ...at, step: 2000 } }, 0, 40, true)).toBe(
    "step 2000/2000, loss 0.1235, 41.2 sample",
  );
});

test("plain lines of a training are its first step, one now and then, and its last", () => {
  const terminal = terminalAt();
  using progress = progressOn(terminal);
  for (let step = 1; step <= 100; step++) {
    time = 1000 * step;
    progress.training({ step, steps: 100, loss: 1, samplesPerSecond: 8, left: 0 });
  }
  const steps = [...terminal.stderr().matchAll(/step (\d+)/g)].map(([, step]) => Number(step));
  expect(steps).toEqual([1, 31, 61, 91, 100]);
});

test("a download shows bytes, speed and time left", () => {
  const at = { file: "unet/model.safetensors", fileDone: 3e8, fileTotal: 1e9 };
  const one = { ...at, done: 3e8, total: 1e9, filesDone: 0, files: 1 };
  const view: View = { kind: "download", at: one, since: 0, from: 1e8 };
  expect(lineOf(view, 2000, 120, true)).toBe(
    "███████░░░░░░░░░░░░░░░░░  " +
      "downloading unet/model.safetensors: 300.0 MB of 1.0 GB, 100.0 MB/s, 7.0 s left",
  );
  const many: View = { ...view, at: { ...one, filesDone: 2, files: 7 } };
  expect(lineOf(many, 2000, 60, true)).toContain("2 of 7 files");
});

/** A run of four steps of a second, after a load of three. */
function run(progress: Progress): void {
  progress.busy("loading the UNet");
  time += 3000;
  vi.advanceTimersByTime(3000);
  progress.sampling();
  for (let i = 1; i <= 4; i++) {
    time += 1000;
    vi.advanceTimersByTime(1000);
    progress.step(i, 4);
  }
  progress.busy("decoding");
  progress.notice("tintype: a word");
  progress[Symbol.dispose]();
}

test("plain lines: titles once, steps now and then, and the last", () => {
  const terminal = terminalAt();
  run(progressOn(terminal));
  expect(terminal.stderr()).toMatchInlineSnapshot(`
    "loading the UNet
    step 1/4, 1.00 s/it, 3.0 s left
    step 3/4, 1.00 s/it, 1.0 s left
    step 4/4, 1.00 s/it
    decoding
    tintype: a word
    "
  `);
});

/** What is left to see on a screen that was given `written`. */
function screen(written: string): string[] {
  const lines = written.split("\n");
  return lines.map((line) => line.split("\r\u001b[2K").at(-1)!);
}

test("a live line is drawn over, ticks by itself, and leaves only notices behind", () => {
  const terminal = terminalAt({ live: true });
  run(progressOn(terminal));
  const written = terminal.stderr();
  expect(written).toContain("loading the UNet  3 s");
  expect(written).toContain("step 3/4, 1.00 s/it, 1.0 s left");
  expect(screen(written)).toEqual(["tintype: a word", ""]);
  vi.advanceTimersByTime(1000);
  expect(terminal.stderr()).toBe(written); // the clock stopped
});

test("the pace leaves loading out", () => {
  const terminal = terminalAt();
  const progress = progressOn(terminal);
  progress.busy("loading the UNet");
  time = 60_000;
  progress.sampling();
  time = 62_000;
  progress.step(1, 10);
  expect(terminal.stderr()).toContain("step 1/10, 2.00 s/it, 18 s left");
});

test("batches are counted", () => {
  const terminal = terminalAt();
  const progress = progressOn(terminal);
  progress.batch(2, 3);
  progress.sampling();
  time = 1000;
  progress.step(1, 1);
  expect(terminal.stderr()).toBe("batch 2/3, step 1/1, 1.00 s/it\n");
});
