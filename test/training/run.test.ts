import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { describe, expect, test } from "vitest";
import { nodePlatform } from "../../src/platform/node/platform.js";
import { withMemoryAdvice } from "../../src/training/run/memoryAdvice.js";
import { exportRun, type TrainStep, train } from "../../src/training/train.js";
import { TintypeError } from "../../src/util/errors.js";
import { dyingPlatform, fullPlatform } from "./faults.js";
import { FIT, fitOptions } from "./fit.js";
import { metricsOf, outcome } from "./outcome.js";
import { refusal, runFolders, SMALL, stepsOf, trained } from "./runs.js";

const freshRun = runFolders("tintype-run-");

describe("a run", () => {
  test("is a folder with all that was made", async () => {
    const run = freshRun();
    const steps = await trained(run, SMALL);
    expect(steps.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(steps.map(({ samples }) => samples?.slice(run.length))).toEqual([
      ...[undefined, undefined, undefined, "/samples/step-000004.png"],
      ...[undefined, undefined, undefined, "/samples/step-000008.png"],
    ]);
    expect(steps.at(-1)!.saved).toBe(`${run}/checkpoints/step-000008`);
    expect(steps[0]!.saved).toBeUndefined();
    expect(steps[7]!.metrics.loss).toBeLessThan(steps[0]!.metrics.loss);
    const names = readdirSync(run).map((name) => name.replace(/tfevents.*/, "tfevents"));
    expect(names.sort()).toEqual([
      ...["checkpoints", "config.json", "events.out.tfevents", "metrics.jsonl"],
      ...["model", "plots", "samples"],
    ]);
    expect(readdirSync(`${run}/checkpoints`)).toEqual(["step-000006", "step-000008"]);
    expect(readdirSync(`${run}/plots`)).toEqual(["distance.png", "loss.png"]);
    expect(metricsOf(run).map(({ step, loss }) => [step, loss])).toEqual(
      steps.map(({ step, metrics }) => [step, metrics.loss]),
    );
  });

  test("keeps its settings, defaults included", async () => {
    const run = freshRun();
    await trained(run, SMALL);
    expect(JSON.parse(readFileSync(`${run}/config.json`, "utf8"))).toMatchObject({
      kind: "fit",
      steps: 8,
      learningRate: 0.05,
      samples: { every: 4, prompts: [], seeds: [0] },
    });
  });

  test("stops at a signal once its step is saved, and goes on", async () => {
    const whole = freshRun();
    await trained(whole, SMALL);
    const run = freshRun();
    const stop = new AbortController();
    const told: string[] = [];
    const stopped = (async () => {
      const options = fitOptions(run, { signal: stop.signal, notice: (m) => void told.push(m) });
      for await (const { step } of train(FIT, SMALL, options)) if (step === 4) stop.abort();
    })();
    expect((await refusal(stopped)).code).toBe("aborted");
    expect(told).toEqual([`Step 4 is saved. Go on with --resume ${run}`]);
    expect(readdirSync(`${run}/checkpoints`)).toEqual(["step-000003", "step-000004"]);
    expect(existsSync(`${run}/model`)).toBe(false);
    const rest = await trained(run, SMALL, { resume: true });
    expect(rest.map(({ step }) => step)).toEqual([5, 6, 7, 8]);
    expect(outcome(run)).toEqual(outcome(whole));
  });

  test("whose state is too large to copy is saved before the next step", async () => {
    const [whole, run] = [freshRun(), freshRun()];
    const steps = await trained(whole, SMALL);
    const lazy = await trained(run, { ...SMALL, lazy: true });
    expect(outcome(run)).toEqual(outcome(whole));
    const saved = (all: readonly TrainStep[]) => all.map((step) => step.saved?.split("-").at(-1));
    expect(saved(lazy).slice(2, 6)).toEqual(["000003", "000003", "000003", "000006"]);
    expect(saved(steps).at(-1)).toBe("000008");
  });

  test("can be left at any step", async () => {
    const run = freshRun();
    for await (const { step } of train(FIT, SMALL, fitOptions(run))) if (step === 4) break;
    expect(readdirSync(run)).not.toContain(".lock");
    expect(readdirSync(`${run}/checkpoints`)).toEqual(["step-000003"]);
    const rest = await trained(run, SMALL, { resume: true });
    expect(rest[0]!.step).toBe(4);
  });

  test("that is at its end takes no step, and writes its model anew", async () => {
    const run = freshRun();
    await trained(run, SMALL);
    const before = outcome(run);
    rmSync(`${run}/model`, { recursive: true });
    expect(await trained(run, SMALL, { resume: true })).toEqual([]);
    expect(outcome(run)).toEqual(before);
  });

  test("gives its model on request", async () => {
    const run = freshRun();
    for await (const { step } of train(FIT, SMALL, fitOptions(run))) if (step === 4) break;
    expect(await exportRun(FIT, fitOptions(run))).toBe(`${run}/model`);
    const state = readFileSync(`${run}/checkpoints/step-000003/params.safetensors`);
    const model = readFileSync(`${run}/model/weights.bin`);
    expect(state.subarray(-model.length).equals(model)).toBe(true);
  });
});

describe("a process that dies", () => {
  /** All changes to the disk of a whole run, and what it comes to. */
  async function wholeRun(): Promise<{ readonly changes: number; readonly made: unknown }> {
    const run = freshRun();
    const platform = dyingPlatform(nodePlatform(), Number.POSITIVE_INFINITY);
    await trained(run, SMALL, { platform });
    return { changes: platform.asked(), made: outcome(run) };
  }

  test("at any change to the disk leaves a run that ends as it would have", async () => {
    const { changes, made } = await wholeRun();
    expect(changes).toBeGreaterThan(50);
    const every = process.env.TINTYPE_TEST === "full" ? 1 : 9;
    for (let at = 0; at < changes; at += every) {
      const run = freshRun();
      mkdirSync(run);
      const platform = dyingPlatform(nodePlatform(), at);
      await expect(trained(run, SMALL, { platform }), `change ${at}`).rejects.toThrow("dead");
      await trained(run, SMALL, { resume: existsSync(`${run}/config.json`) });
      expect(outcome(run), `change ${at}`).toEqual(made);
    }
  });

  test("over and over ends as it would have", async () => {
    const { made } = await wholeRun();
    const run = freshRun();
    mkdirSync(run);
    let deaths = 0;
    for (let at = 24; ; at++) {
      const resume = existsSync(`${run}/config.json`);
      const platform = dyingPlatform(nodePlatform(), at);
      const died = await trained(run, SMALL, { platform, resume }).then(
        () => false,
        () => true,
      );
      if (!died) break;
      deaths++;
    }
    expect(deaths).toBeGreaterThan(3);
    expect(outcome(run)).toEqual(made);
  });
});

describe("a disk that fills up", () => {
  test("at any time loses nothing that was saved, and shows no half checkpoint", async () => {
    const whole = freshRun();
    const counted = fullPlatform(nodePlatform(), Number.POSITIVE_INFINITY);
    await trained(whole, SMALL, { platform: counted });
    const every = process.env.TINTYPE_TEST === "full" ? 1 : 11;
    for (let at = 3; at < counted.asked(); at += every) {
      const run = freshRun();
      const seen: (string | undefined)[] = [];
      const full = (async () => {
        const options = fitOptions(run, { platform: fullPlatform(nodePlatform(), at) });
        for await (const { saved } of train(FIT, SMALL, options)) seen.push(saved);
      })();
      const error = await full.then(
        () => undefined,
        (reason: unknown) => reason,
      );
      if (error === undefined) continue; // what came after it were no writes
      expect(error).toMatchObject({ code: "io" });
      const there = existsSync(`${run}/checkpoints`) ? readdirSync(`${run}/checkpoints`) : [];
      expect(there.filter((name) => !/^step-\d{6}$/.test(name))).toEqual([]);
      const last = seen.at(-1)?.split("/").at(-1);
      if (last !== undefined) expect(there.at(-1)! >= last).toBe(true);
      if (existsSync(`${run}/config.json`)) {
        await trained(run, SMALL, { resume: true });
        expect(outcome(run), `change ${at}`).toEqual(outcome(whole));
      }
    }
  });

  test("is told with the step and the checkpoint to go on from", async () => {
    const run = freshRun();
    const platform = nodePlatform();
    let writes = 0;
    const files = {
      ...platform.files,
      writeAtomically: async (path: string, ...rest: [never]) => {
        if (path.includes("step-000006"))
          throw new TintypeError("io", `cannot write ${path}: the disk is full.`);
        writes++;
        await platform.files.writeAtomically(path, ...rest);
      },
    };
    const error = await refusal(trained(run, SMALL, { platform: { ...platform, files } }));
    expect(writes).toBeGreaterThan(0);
    expect(error.code).toBe("io");
    expect(error.message).toMatch(
      new RegExp(
        `^cannot write ${run}/checkpoints/\\.step-000006\\.new/params\\.safetensors: the disk is full\\. ` +
          `The training stopped after step [678]\\. The last good checkpoint is ${run}/checkpoints/step-000003; go on with --resume ${run}\\.$`,
      ),
    );
  });
});

describe("a training that fails", () => {
  test("at some of its data tells of it, once and with one name", async () => {
    const skipped = new Map([
      ["a.png", "a.png: cannot be read"],
      ["b", "no picture"],
      ["c\n.png", "c\n.png: \u001b[31mtorn"],
    ]);
    const gaps: typeof FIT = {
      ...FIT,
      open: async (config, context) => Object.assign(await FIT.open(config, context), { skipped }),
    };
    const told: string[] = [];
    const notice = (message: string) => void told.push(message);
    await stepsOf(train(gaps, SMALL, fitOptions(freshRun(), { notice })));
    expect(told).toEqual([
      "left out a.png: cannot be read",
      "left out b: no picture",
      "left out c\\n.png: \\u001b[31mtorn",
      "3 examples were left out in all",
    ]);
    for (let i = 0; i < 20; i++) skipped.set(`${i}.png`, "torn");
    told.length = 0;
    await stepsOf(train(gaps, SMALL, fitOptions(freshRun(), { notice })));
    expect(told).toHaveLength(12);
    expect(told.slice(-2)).toEqual([
      "more examples are left out; the end tells how many",
      "23 examples were left out in all",
    ]);
  });

  /** FIT, whose step of this number, counted from 1, finds no memory. */
  const failing = (
    at: number,
    error = new TintypeError("out-of-memory", "fit: memory ran out on cpu."),
  ): typeof FIT => ({
    ...FIT,
    async open(config, context) {
      const task = await FIT.open(config, context);
      const step: typeof task.step = async (n) => {
        if (n + 1 === at) throw error;
        return await own(n);
      };
      const own = task.step.bind(task);
      return Object.assign(task, { step });
    },
  });

  test.each([
    [
      2,
      (run: string) =>
        `There is no checkpoint yet; --resume ${run} begins again from its settings.`,
    ],
    [
      5,
      (run: string) =>
        `The last good checkpoint is ${run}/checkpoints/step-000003; go on with --resume ${run}.`,
    ],
  ])("at step %i says where it stopped and how to go on", async (at, left) => {
    const run = freshRun();
    const error = await refusal(stepsOf(train(failing(at), SMALL, fitOptions(run))));
    expect(error.code).toBe("out-of-memory");
    expect(error.message).toBe(
      `fit: memory ran out on cpu. The training stopped after step ${at - 1}. ${left(run)}`,
    );
    expect(await trained(run, SMALL, { resume: true })).toHaveLength(at === 2 ? 8 : 5);
  });

  const generateAdvice = { advice: "Try --low-memory or a smaller picture." };

  test.each([
    [
      new TintypeError("out-of-memory", "UNet: memory ran out on cpu.", generateAdvice),
      'UNet: memory ran out on cpu. Close other programs, or set a smaller "batchSize".',
    ],
    [
      new TintypeError("device", "The engine's worker died (137).", generateAdvice),
      'The engine\'s worker died (137). If memory ran out, close other programs, or set a smaller "batchSize".',
    ],
  ])("for want of memory gives advice that a training can follow: %s", async (error, message) => {
    const run = freshRun();
    const met = await refusal(stepsOf(train(failing(2, error), SMALL, fitOptions(run))));
    expect(met.message).toBe(
      `${message} The training stopped after step 1. There is no checkpoint yet; --resume ${run} ` +
        "begins again from its settings.",
    );
    const closed = freshRun();
    const unopened = { ...FIT, open: () => Promise.reject(error) };
    const refused = await refusal(stepsOf(train(unopened, SMALL, fitOptions(closed))));
    expect(refused).toMatchObject({ code: error.code, message });
    expect(existsSync(closed)).toBe(false);
  });

  test("is advised of the settings that it has", () => {
    const error = new TintypeError("out-of-memory", "Full.", generateAdvice);
    const adviceFor = (config: object): unknown =>
      (withMemoryAdvice(error, config as never) as TintypeError).advice;
    expect(adviceFor({ recompute: "auto", accumulate: 1 })).toBe(
      'Close other programs, or set "recompute" true (a resumed run may, too), or a smaller ' +
        '"batchSize" (and a larger "accumulate").',
    );
    expect(adviceFor({ recompute: true })).toBe(
      'Close other programs, or set a smaller "batchSize".',
    );
    const other = new TintypeError("bad-file", "Torn.", generateAdvice);
    expect(withMemoryAdvice(other, SMALL as never)).toBe(other);
  });
});

describe("a training that diverges", () => {
  const config = { ...SMALL, steps: 40, checkpoints: { every: 10 }, samples: { every: 0 } };

  test("stops at a NaN, with step, batch and checkpoint named", async () => {
    const run = freshRun();
    const error = await refusal(trained(run, { ...config, nanAt: 25 }));
    expect(error.code).toBe("diverged");
    expect(error.message).toBe(
      "fit: step 25: loss is NaN. Its batch: look-96, look-97, look-98, look-99. " +
        `The last good checkpoint is ${run}/checkpoints/step-000020. ` +
        "Begin a new run with a lower learningRate.peak, or look at the batch.",
    );
    expect(metricsOf(run).at(-1)).toMatchObject({ step: 25, loss: null });
    expect(readdirSync(`${run}/checkpoints`)).toEqual(["step-000010", "step-000020"]);
  });

  test("names the files of its batch on one line", async () => {
    const names: typeof FIT = {
      ...FIT,
      open: async (config, context) => {
        const task = await FIT.open(config, context);
        return Object.defineProperty(task, "lastBatch", { value: ["a\nb.png", "\u001b[2J.png"] });
      },
    };
    const run = freshRun();
    const failed = train(names, { ...config, nanAt: 1 }, fitOptions(run));
    const { message } = await refusal(stepsOf(failed));
    expect(message).toContain("Its batch: a\\nb.png, \\u001b[2J.png. There is no checkpoint yet.");
  });

  test("stops when the loss explodes, unless that is allowed", async () => {
    const run = freshRun();
    const error = await refusal(trained(run, { ...config, explodeAt: 30 }));
    expect(error.message).toMatch(
      /^fit: step 30: loss is 1\.000e\+9, more than 100 times what it usually was \(0\.\d+\)\. Its batch: look-116, .* or look at the batch\. If such a loss is to be expected, resume with a larger --set explode=\.\.\.$/,
    );
    const steps = await trained(run, { ...config, explodeAt: 30, explode: 0 }, { resume: true });
    expect(steps.at(-1)!.step).toBe(40);
  });

  test("of the first steps, which are wild, does not stop", async () => {
    expect(await trained(freshRun(), { ...config, explodeAt: 5 })).toHaveLength(40);
  });

  test("does not save weights that hold a NaN", async () => {
    const run = freshRun();
    const error = await refusal(trained(run, { ...config, steps: 20, spoilAt: 20 }));
    expect(error.message).toMatch(
      /^fit: after step 20, w holds a NaN or an infinite value\. The last good checkpoint is \S+step-000010\./,
    );
    expect(readdirSync(`${run}/checkpoints`)).toEqual(["step-000010"]);
  });

  test("before the first checkpoint says that there is none", async () => {
    const error = await refusal(trained(freshRun(), { ...config, nanAt: 2 }));
    expect(error.message).toContain(" There is no checkpoint yet. ");
  });
});

describe("a resumed run", () => {
  async function stoppedRun(): Promise<string> {
    const run = freshRun();
    for await (const { step } of train(FIT, SMALL, fitOptions(run))) if (step === 4) break;
    return run;
  }

  test("with changed settings says what changed, and changes nothing", async () => {
    const run = await stoppedRun();
    const before = outcome(run);
    const changed = { ...SMALL, learningRate: 0.1, seed: 7, steps: 10 };
    const error = await refusal(trained(run, changed, { resume: true }));
    expect(error.code).toBe("bad-argument");
    expect(error.message).toBe(
      `${run} was begun with other settings, and would not go on as the same run. ` +
        "Changed: seed: from 0 to 7; learningRate: from 0.05 to 0.1. Put them back, or begin a new run.",
    );
    expect(outcome(run)).toEqual(before);
    expect(JSON.parse(readFileSync(`${run}/config.json`, "utf8")).steps).toBe(8);
  });

  test("may go on for longer and save at other times, and says so", async () => {
    const run = await stoppedRun();
    const told: string[] = [];
    const config = { ...SMALL, steps: 10, checkpoints: { every: 5, keep: 1 } };
    const steps = await trained(run, config, { resume: true, notice: (m) => void told.push(m) });
    expect(steps.at(-1)).toMatchObject({ step: 10, steps: 10 });
    expect(told).toEqual([
      "changed steps: from 8 to 10",
      "changed checkpoints.every: from 3 to 5",
      "changed checkpoints.keep: from 2 to 1",
    ]);
    expect(readdirSync(`${run}/checkpoints`)).toEqual(["step-000010"]);
    expect(JSON.parse(readFileSync(`${run}/config.json`, "utf8")).steps).toBe(10);
  });

  test("whose data is no longer the same says so, and goes on", async () => {
    const learning = (fingerprint: string): typeof FIT => ({
      ...FIT,
      open: async (config, context) =>
        Object.assign(await FIT.open(config, context), { fingerprint }),
    });
    const told: string[] = [];
    const notice = (message: string) => void told.push(message);
    const run = freshRun();
    await stepsOf(train(learning("a"), SMALL, fitOptions(run)));
    const again = { resume: true, notice };
    await stepsOf(train(learning("a"), { ...SMALL, steps: 9 }, fitOptions(run, again)));
    expect(told).toEqual(["changed steps: from 8 to 9"]);
    told.length = 0;
    await stepsOf(train(learning("b"), { ...SMALL, steps: 10 }, fitOptions(run, again)));
    expect(told[1]).toMatch(/^the data of \S+ has changed since step 9: files, captions/);
    expect(metricsOf(run)).toHaveLength(10);
  });

  test("whose config was edited by hand says what changed", async () => {
    const run = await stoppedRun();
    const path = `${run}/config.json`;
    writeFileSync(path, readFileSync(path, "utf8").replace('"size": 16', '"size": 17'));
    const error = await refusal(trained(run, (before: unknown) => before, { resume: true }));
    expect(error.message).toContain("Changed: size: from 16 to 17.");
  });

  test.each([
    ["[]", "expected an object { ... }, got []."],
    ["{}", 'the key "kind" is missing, which says what is trained. Put it back.'],
  ])("whose config is %s is refused", async (text, problem) => {
    const run = await stoppedRun();
    writeFileSync(`${run}/config.json`, text);
    const error = await refusal(trained(run, SMALL, { resume: true }));
    expect(error.message).toBe(`${run}/config.json: ${problem}`);
  });

  test("cannot end before where it is", async () => {
    const run = await stoppedRun();
    const error = await refusal(trained(run, { ...SMALL, steps: 2 }, { resume: true }));
    expect(error.message).toBe(`steps: ${run} has taken 3 steps already, more than 2.`);
  });

  test("leaves a damaged checkpoint out, and says so", async () => {
    const run = freshRun();
    await trained(run, SMALL);
    const whole = outcome(run);
    writeFileSync(`${run}/checkpoints/step-000008/momentum.safetensors`, "cut");
    const told: string[] = [];
    const steps = await trained(run, SMALL, { resume: true, notice: (m) => void told.push(m) });
    expect(steps.map(({ step }) => step)).toEqual([7, 8]);
    expect(told[0]).toMatch(/step-000008 is damaged and is left out .*expected \d+ bytes, got 3/);
    expect(outcome(run)).toEqual(whole);
  });

  test.each([
    ["state.json", '{"format":1,"step":8}', /step-000008 is damaged and is left out .*in "files"/],
    ["state.json", '{"\n\u001b[2J', /^\P{Cc}*step-000008 is damaged and is left out \P{Cc}*$/u],
    [
      "momentum.safetensors",
      "",
      /step-000008 is damaged: momentum.safetensors cannot be read\. Remove/,
    ],
  ])("tells of a %s that makes no sense", async (file, text, expected) => {
    const run = freshRun();
    await trained(run, SMALL);
    const path = `${run}/checkpoints/step-000008/${file}`;
    writeFileSync(path, text.padEnd(file === "state.json" ? 0 : statSync(path).size));
    const told: string[] = [];
    const again = trained(run, SMALL, { resume: true, notice: (m) => void told.push(m) });
    const error = await again.then(
      () => undefined,
      (reason: Error) => reason.message,
    );
    expect(error ?? told[0]).toMatch(expected);
  });

  test("whose checkpoints are all damaged is refused, and keeps what it has", async () => {
    const run = freshRun();
    await trained(run, SMALL);
    for (const name of readdirSync(`${run}/checkpoints`)) {
      writeFileSync(`${run}/checkpoints/${name}/state.json`, "{");
    }
    const before = outcome(run);
    const error = await refusal(trained(run, SMALL, { resume: true }));
    expect(error.message).toBe(
      `${run}: no checkpoint is whole. Begin a new run, or remove ${run}/checkpoints to begin this one again.`,
    );
    expect(outcome(run)).toEqual(before);
    rmSync(`${run}/checkpoints`, { recursive: true });
    const unborn = await refusal(exportRun(FIT, fitOptions(run)));
    expect(unborn.message).toMatch(/has no checkpoint yet, so there is no trained model to write/);
    expect(await trained(run, SMALL, { resume: true })).toHaveLength(8);
  });

  test("of another kind is refused", async () => {
    const run = await stoppedRun();
    const other = { ...FIT, name: "diffusion" };
    const error = await refusal(stepsOf(train(other, SMALL, fitOptions(run, { resume: true }))));
    expect(error.message).toBe(`${run} is a run of fit, not of diffusion.`);
  });
});

describe("a folder", () => {
  test("with anything in it takes no new run", async () => {
    const run = freshRun();
    mkdirSync(run);
    writeFileSync(`${run}/thesis.txt`, "years of work");
    const error = await refusal(trained(run, SMALL));
    expect(error.message).toBe(`${run} is not empty (thesis.txt). Name a new folder for the run.`);
    expect(readdirSync(run)).toEqual(["thesis.txt"]);
    const odd = freshRun();
    mkdirSync(odd);
    writeFileSync(`${odd}/a\nb.png`, "");
    expect((await refusal(trained(odd, SMALL))).message).toBe(
      `${odd} is not empty (a\\nb.png). Name a new folder for the run.`,
    );
  });

  test("with a run takes no second one", async () => {
    const run = freshRun();
    await trained(run, SMALL);
    const before = outcome(run);
    const error = await refusal(trained(run, SMALL));
    expect(error.message).toBe(
      `${run} holds a run already. Go on with --resume ${run}, or name another folder.`,
    );
    expect(outcome(run)).toEqual(before);
  });

  test("that is a file takes none", async () => {
    const run = freshRun();
    writeFileSync(run, "");
    expect((await refusal(trained(run, SMALL))).message).toBe(
      `${run} is a file. Name a new folder for the run.`,
    );
  });

  test("without a run cannot be resumed", async () => {
    const run = freshRun();
    const missing = await refusal(trained(run, SMALL, { resume: true }));
    expect(missing).toMatchObject({
      code: "not-found",
      message: `there is no run ${run}. Check the path.`,
    });
    mkdirSync(run);
    expect((await refusal(trained(run, SMALL, { resume: true }))).message).toBe(
      `${run} is no run: it has no config.json. Name the folder of a run.`,
    );
    expect(readdirSync(run)).toEqual([]);
  });
});

test("a config that does not fit is refused before anything is made", async () => {
  const run = freshRun();
  const error = await refusal(trained(run, { ...SMALL, learnRate: 1 }, { configName: "fit.json" }));
  expect(error.message).toMatch(
    /^fit\.json: unknown key "learnRate": did you mean "learningRate"\?/,
  );
  expect(existsSync(run)).toBe(false);
});
