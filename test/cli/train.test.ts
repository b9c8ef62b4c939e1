import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { afterAll, describe, expect, test } from "vitest";
import { TRAINING_NAMES } from "../../cli/names.js";
import { runCli } from "../../cli/program.js";
import { KINDS } from "../../src/training/kinds.js";
import { TINY } from "../training/tiny.js";
import { fakeTerminal } from "./fakeTerminal.js";
import { scratch } from "./fixtures.js";

const space = scratch();
afterAll(() => space[Symbol.dispose]());
const at = (name: string): string => `${space.path}/${name}`;

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function tintype(...args: readonly string[]): Promise<Outcome> {
  const terminal = fakeTerminal();
  const code = await runCli(args, terminal);
  return { code, out: terminal.stdout(), err: terminal.stderr() };
}

const config = space.file("ae.json", JSON.stringify(TINY.autoencoder));

test("help and completion know every kind of training", () => {
  expect(Object.keys(KINDS).toSorted()).toEqual([...TRAINING_NAMES].toSorted());
});

describe("a training from the command line", () => {
  const run = at("run");

  test("is stopped by Ctrl-C after a step, which is saved", async () => {
    const stop = new AbortController();
    let err = "";
    const terminal = fakeTerminal({
      signal: stop.signal,
      err(text) {
        err += text;
        if (text.startsWith("step ")) stop.abort();
      },
    });
    expect(await runCli(["train", "autoencoder", "--config", config, "--out", run], terminal)).toBe(
      130,
    );
    expect(err).toMatch(
      /^training in .*\npreparing\nstep 1\/12, loss 0\.\d+, \S+ samples\/s, .* left\n/,
    );
    expect(err).toContain("Finishing the step and saving it. Ctrl-C again stops at once.\n");
    expect(err).toMatch(
      /tintype: Step 1 is saved\. Go on with --resume \S+\/run\ntintype: stopped\.\n$/,
    );
    expect(readdirSync(`${run}/checkpoints`)).toEqual(["step-000001"]);
  });

  test("goes on where it was", async () => {
    const { code, out, err } = await tintype(
      "train",
      "autoencoder",
      "--resume",
      run,
      "--set",
      "steps=4",
    );
    expect(code, err).toBe(0);
    expect(err).toContain("tintype: changed steps: from 12 to 4\n");
    expect(err).toMatch(/\n3 steps in .*, loss 0\.\d+\n$/);
    expect(out).toBe(`${run}/model\n`);
    expect(readdirSync(`${run}/model/vae`)).toEqual([
      "config.json",
      "diffusion_pytorch_model.safetensors",
    ]);
  });

  test("gives its model on request", async () => {
    const { code, out } = await tintype("train", "autoencoder", "--resume", run, "--export");
    expect({ code, out }).toEqual({ code: 0, out: `${run}/model\n` });
  });

  test("that is through says so", async () => {
    const { code, err } = await tintype("train", "autoencoder", "--resume", run);
    expect(code).toBe(0);
    expect(err).toMatch(/all steps were taken already\. For more: --set steps=N\n$/);
  });

  test("keeps every setting beside it", () => {
    const kept = JSON.parse(readFileSync(`${run}/config.json`, "utf8"));
    expect(kept).toMatchObject({ kind: "autoencoder", steps: 4, batchSize: 2, seed: 0 });
    expect(kept.adversarial).toMatchObject({ start: 6, weight: 0.5 });
  });
});

describe("what does not fit is refused, and makes nothing", () => {
  const misspelt = space.file(
    "misspelt.json",
    JSON.stringify({ ...TINY.autoencoder, batchsize: 4 }),
  );
  const broken = space.file("broken.json", "{ steps: 10 }");
  const list = space.file("list.json", "[1, 2]");
  const clip = space.file("clip.json", JSON.stringify({ kind: "clip", ...TINY.autoencoder }));
  const noData = space.file(
    "nodata.json",
    JSON.stringify({ ...TINY.autoencoder, data: { kind: "folder", path: at("nowhere") } }),
  );
  mkdirSync(at("full"));
  space.file("full/thesis.txt", "years of work");
  const train = (...args: readonly string[]): readonly string[] => [
    "train",
    "autoencoder",
    ...args,
  ];

  test.each<[string, readonly string[], string]>([
    ["no kind", ["train"], `missing required argument "KIND"`],
    [
      "another kind",
      ["train", "difusion"],
      'unknown training "difusion": did you mean "diffusion"? Choices: autoencoder, clip, diffusion',
    ],
    [
      "no settings",
      train(),
      "--config: name a file of settings, or a run to go on with: --resume RUN.",
    ],
    [
      "settings that are not there",
      train("--config", at("no.json")),
      `cannot open ${at("no.json")}: no such file or folder. Did you mean "${config}"?`,
    ],
    ["settings that are no JSON", train("--config", broken), `${broken}: not valid JSON`],
    [
      "a list of settings",
      train("--config", list),
      `${list}: expected an object { ... }, got [1,2].`,
    ],
    [
      "a misspelt key",
      train("--config", misspelt),
      `${misspelt}: unknown key "batchsize": did you mean "batchSize"? Keys: steps, seed, `,
    ],
    [
      "settings of another kind",
      train("--config", clip),
      `${clip}: its settings are for "tintype train clip", not for autoencoder.`,
    ],
    [
      "a misspelt setting",
      train("--config", config, "--set", "learningRate.peek=1"),
      `${config} with --set: unknown key "learningRate.peek": did you mean "learningRate.peak"? ` +
        'Keys of "learningRate": peak, warmup, schedule.',
    ],
    [
      "a setting without a value",
      train("--config", config, "--set", "steps"),
      '--set: expected KEY=VALUE, such as learningRate.peak=1e-4, got "steps".',
    ],
    [
      "a value of another kind",
      train("--config", config, "--set", "steps=many"),
      `${config} with --set: steps: expected a whole number from 1, got "many".`,
    ],
    ["data that is not there", train("--config", noData, "--out", at("new")), at("nowhere")],
    [
      "a folder that is not empty",
      train("--config", config, "--out", at("full")),
      `${at("full")} is not empty (thesis.txt). Name a new folder for the run.`,
    ],
    ["no run", train("--resume", at("no")), `there is no run ${at("no")}. Check the path.`],
    [
      "a folder that is no run",
      train("--resume", at("full")),
      `${at("full")} is no run: it has no config.json. Name the folder of a run.`,
    ],
    [
      "a place for a resumed run",
      train("--resume", at("full"), "--out", at("new")),
      "--out: a resumed run stays in its folder. Leave --out or --resume away.",
    ],
    [
      "an export of nothing",
      train("--config", config, "--export"),
      "--export: name the run with --resume RUN.",
    ],
    [
      "an export with other settings",
      train("--resume", at("full"), "--export", "--set", "steps=3"),
      "--export: the run's own settings hold. Leave --config and --set away.",
    ],
  ])("%s", async (_, args, message) => {
    const { code, out, err } = await tintype(...args);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toContain(message);
    expect(err).not.toMatch(/\bbug\b|\n {4}at /);
    expect(readdirSync(at("full"))).toEqual(["thesis.txt"]);
    expect(existsSync(at("new"))).toBe(false);
  });
});
