import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test, vi } from "vitest";
import { filesOf, metricsOf, outcome } from "./outcome.js";
import { type Ended, type Fate, lottery, runProcess } from "./processes.js";
import { TINY, type TinyKind } from "./tiny.js";

const space = mkdtempSync(join(tmpdir(), "tintype-kill-"));
afterAll(() => rmSync(space, { recursive: true, force: true }));

const thorough = process.env.TINTYPE_TEST === "full";

/** Runs that are killed and begun again, on a machine that may have other work. */
const PATIENCE = thorough ? 3_600_000 : 600_000;

/** Trains until it is through, killed at `kills` random moments; returns how often it really was. */
async function trainKilled(
  kills: number,
  span: readonly [least: number, most: number],
  start: (fate: Fate) => Promise<Ended>,
): Promise<number> {
  const chance = lottery(kills);
  let killed = 0;
  for (let attempt = 0; ; attempt++) {
    const after = span[0] + (span[1] - span[0]) * chance();
    const ended = await start(attempt < kills ? { killAfter: after } : {});
    if (ended.code === 0) return killed;
    expect(ended.code, ended.err).toBe(null);
    killed++;
  }
}

describe("a run that is killed", () => {
  // A checkpoint at every other step: most kills hit the writing of one.
  const config = {
    steps: 60,
    size: 300_000,
    pause: 4,
    checkpoints: { every: 2, keep: 3 },
    samples: { every: 20 },
  };
  const fitted = (run: string, fate: Fate = {}): Promise<Ended> => {
    const how = existsSync(`${run}/config.json`) ? "resume" : "new";
    return runProcess("test/training/child.ts", [run, how, JSON.stringify(config)], fate);
  };

  test("ends as if nothing had happened, bit for bit", { timeout: PATIENCE }, async () => {
    const whole = join(space, "whole");
    expect(await fitted(whole)).toMatchObject({ code: 0, err: "" });
    const run = join(space, "killed");
    const kills = await trainKilled(thorough ? 30 : 4, [20, 300], (fate) => fitted(run, fate));
    expect(kills).toBeGreaterThanOrEqual(2);
    expect(outcome(run)).toEqual(outcome(whole));
  });
});

test("a folder in which another process trains takes no second one", {
  timeout: PATIENCE,
}, async () => {
  const run = join(space, "taken");
  const start = (how: "new" | "resume", steps: number, fate?: Fate): Promise<Ended> =>
    runProcess("test/training/child.ts", [run, how, JSON.stringify({ steps, pause: 5 })], fate);
  let release = (): void => {};
  const killWhen = new Promise<void>((resolve) => {
    release = resolve;
  });
  const first = start("new", 1_000_000, { killWhen });
  await vi.waitUntil(() => existsSync(`${run}/metrics.jsonl`), { timeout: PATIENCE });
  const second = await start("resume", 1_000_000);
  release();
  expect(await first).toMatchObject({ code: null, err: "" });
  expect(second.code).toBe(1);
  expect(second.err).toMatch(/taken is being trained by another process\. Wait until it ends/);
  expect(second.out).toBe("");
});

describe("a disk that fills up", () => {
  const config = { steps: 20, size: 20_000, checkpoints: { every: 5 }, samples: { every: 0 } };

  test("stops the run with an error, and loses nothing that was saved", {
    timeout: PATIENCE,
  }, async () => {
    const fitted = (run: string, how: "new" | "resume", fate?: Fate): Promise<Ended> =>
      runProcess("test/training/child.ts", [run, how, JSON.stringify(config)], fate);
    const [whole, run] = [join(space, "roomy"), join(space, "tight")];
    expect(await fitted(whole, "new")).toMatchObject({ code: 0 });
    // No file may have more than 1 KiB: the metrics of some ten steps, no checkpoint.
    const first = await fitted(run, "new", { largestFile: 1 });
    expect(first.err).toMatch(/cannot write .*: the file is larger than .* your limits allow/);
    expect(first.err).toMatch(/The training stopped after step \d+\. There is no checkpoint yet/);
    expect(filesOf(run).filter((name) => name.startsWith("checkpoints"))).toEqual([]);
    expect(await fitted(run, "resume")).toMatchObject({ code: 0 });
    expect(outcome(run)).toEqual(outcome(whole));
  });
});

describe.skipIf(!thorough).each(Object.keys(TINY) as TinyKind[])("a training of %s", (kind) => {
  const config = join(space, `${kind}.json`);
  writeFileSync(config, JSON.stringify(TINY[kind]));
  const training = (run: string, fate: Fate = {}): Promise<Ended> => {
    const how = existsSync(`${run}/config.json`)
      ? ["--resume", run]
      : ["--config", config, "--out", run];
    return runProcess("cli/main.ts", ["train", kind, ...how], fate);
  };

  test("that is killed ends as if nothing had happened, bit for bit", {
    timeout: PATIENCE,
  }, async () => {
    const whole = join(space, `${kind}-whole`);
    const first = await training(whole);
    expect(first.code, first.err).toBe(0);
    const run = join(space, `${kind}-killed`);
    await trainKilled(thorough ? 12 : 1, [300, 3000], (fate) => training(run, fate));
    expect(untimed(run)).toEqual(untimed(whole));
    expect(readdirSync(`${run}/checkpoints`)).toEqual(readdirSync(`${whole}/checkpoints`));
    for (const name of filesOf(whole)) {
      if (!/\.(safetensors|png)$/.test(name)) continue;
      const [one, other] = [whole, run].map((folder) => readFileSync(`${folder}/${name}`));
      expect(other!.equals(one!), name).toBe(true);
    }
  });
});

describe("Ctrl-C", () => {
  const config = join(space, "long.json");
  writeFileSync(
    config,
    JSON.stringify({ ...TINY.autoencoder, steps: 5000, samples: { every: 0 } }),
  );
  const training = (run: string, onError: Fate["onError"]): Promise<Ended> =>
    runProcess("cli/main.ts", ["train", "autoencoder", "--config", config, "--out", run], {
      onError,
    });

  test("finishes the step and saves it", { timeout: PATIENCE }, async () => {
    const run = join(space, "interrupted");
    let sent = false;
    const { code, err } = await training(run, (text, child) => {
      if (sent || !text.includes("step 1/")) return;
      sent = true;
      child.kill("SIGINT");
    });
    expect(code).toBe(130);
    const step = Number(/Step (\d+) is saved\. Go on with --resume/.exec(err)?.[1]);
    expect(metricsOf(run).at(-1)).toMatchObject({ step });
    const last = readdirSync(`${run}/checkpoints`).at(-1);
    expect(last).toBe(`step-${String(step).padStart(6, "0")}`);
  });

  test("a second time leaves at once", async () => {
    const run = join(space, "left");
    let sent = 0;
    const { code, err } = await training(run, (text, child) => {
      if (sent === 0 && text.includes("training in")) child.kill("SIGINT");
      else if (sent === 1 && text.includes("Ctrl-C again")) child.kill("SIGINT");
      else return;
      sent++;
    });
    expect(code).toBe(null);
    expect(err).not.toContain("stopped.");
  });
});

const untimed = (run: string): unknown =>
  metricsOf(run).map(({ seconds, samplesPerSecond, time, ...rest }) => rest);
