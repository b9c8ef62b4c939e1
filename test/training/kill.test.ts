import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { outcome } from "./outcome.js";

const space = mkdtempSync(join(tmpdir(), "tintype-kill-"));
afterAll(() => rmSync(space, { recursive: true, force: true }));

const CHILD = fileURLToPath(new URL("child.ts", import.meta.url));

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Trains in a process of its own, killed `after` milliseconds after its first step. */
function trainChild(
  run: string,
  how: "new" | "resume",
  config: object,
  after?: number,
): Promise<Ended> {
  const args = ["--import", "tsx", CHILD, run, how, JSON.stringify(config)];
  const child = spawn(process.execPath, args);
  let [out, err] = ["", ""];
  child.stdout.on("data", (chunk: Buffer) => {
    if (out === "" && after !== undefined) setTimeout(() => child.kill("SIGKILL"), after);
    out += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    err += chunk.toString();
  });
  return new Promise((done) => child.once("close", (code) => done({ code, out, err })));
}

/** Numbers that look random, the same on each run of the test. */
function* lottery(seed: number): Generator<number> {
  for (let x = seed; ; ) {
    x = (1664525 * x + 1013904223) >>> 0;
    yield x / 2 ** 32;
  }
}

describe("a run that is killed", () => {
  // A checkpoint every other step: most kills hit the writing of one.
  const config = {
    steps: 60,
    size: 300_000,
    pause: 4,
    checkpoints: { every: 2, keep: 3 },
    samples: { every: 20 },
  };

  test("ends as if nothing had happened, bit for bit", async () => {
    const whole = join(space, "whole");
    expect(await trainChild(whole, "new", config)).toMatchObject({ code: 0, err: "" });
    const run = join(space, "killed");
    const chance = lottery(1);
    let kills = 0;
    for (let ended: Ended | undefined; ended?.code !== 0; ) {
      const after = kills < 6 ? 20 + 250 * chance.next().value! : undefined;
      ended = await trainChild(run, ended === undefined ? "new" : "resume", config, after);
      expect(ended.err).toBe("");
      if (ended.code === null) kills++;
    }
    expect(kills).toBeGreaterThanOrEqual(4);
    expect(outcome(run)).toEqual(outcome(whole));
  });
});
