import { readdirSync, readFileSync, rmSync } from "node:fs";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { runCli } from "../../cli/program.js";
import { PUBLISHED_SHAPES } from "../../src/benchmark/publishedShapes.js";
import { writeRandomModel } from "../../src/benchmark/randomModel.js";
import { decodePicture, nodePlatform } from "../../src/node.js";
import { THOROUGH_CALIBRATION } from "../../src/pipelines/calibrationPlans.js";
import { fakeTerminal } from "./fakeTerminal.js";
import { MODELS, scratch } from "./fixtures.js";

const space = scratch();
const CACHE = `${space.path}/cache`;
const SMALL = `${space.path}/small`;
beforeAll(async () => {
  vi.stubEnv("TINTYPE_CACHE", CACHE);
  await writeSmallModel();
});
afterAll(() => {
  vi.unstubAllEnvs();
  space[Symbol.dispose]();
});

/** A model of few layers: programs of all others take longer to compile than to run. */
async function writeSmallModel(): Promise<void> {
  const { unet, vae, text, ...rest } = PUBLISHED_SHAPES["sd1.5"];
  const levels = { blocks: ["crossAttention", "resnet"], blockOutChannels: [8, 8] } as const;
  const narrow = { heads: [2, 2], transformerLayers: [1, 1], crossAttentionDim: 16 };
  const small = { layersPerBlock: 1, normNumGroups: 2 };
  await writeRandomModel(nodePlatform().files, SMALL, {
    ...rest,
    unet: { ...unet, ...levels, ...narrow, ...small, sampleSize: 8 },
    vae: { ...vae, ...small, blockOutChannels: [4, 8, 8, 8] },
    text: { ...text, hiddenSize: 16, intermediateSize: 32, layers: 1, heads: 2 },
  });
}

async function tintype(...args: readonly string[]) {
  const terminal = fakeTerminal();
  const code = await runCli([...args, "--threads", "1"], terminal);
  return { code, out: terminal.stdout(), err: terminal.stderr() };
}

const QUICK = ["--model", SMALL, "--steps", "2"];

describe("tintype calibrate", () => {
  const calibrate = (...args: readonly string[]) => tintype("calibrate", ...QUICK, ...args);
  beforeEach(() => rmSync(CACHE, { recursive: true, force: true }));

  test("measures a model and says where it keeps that", async () => {
    const { code, out, err } = await calibrate("--prompt", "a", "--prompt", "b");
    expect(code, err).toBe(0);
    expect(err).toMatch(/step 4\/4, [\d.]+ s\/it\nmeasured 41 layers in [\d.]+ s\n$/);
    const [name, ...others] = readdirSync(`${CACHE}/ranges`);
    expect(others).toEqual([]);
    expect(out).toBe(`${CACHE}/ranges/${name}\n`);
  });

  test("--json prints one object", async () => {
    const list = space.file("prompts.txt", "\uFEFFa cat\r\n\n  a house by the sea \n");
    const size = ["--width", "64", "--height", "32"];
    const more = ["--prompts", list, "--room", "1.5", "--seed", "3", ...size];
    const { code, out, err } = await calibrate(...more, "--json");
    expect(code, err).toBe(0);
    expect(JSON.parse(out)).toEqual({
      model: SMALL,
      prompts: ["a cat", "a house by the sea"],
      steps: 2,
      width: 64,
      height: 32,
      room: 1.5,
      seed: 3,
      layers: { unet: 18, decoder: 23 },
      file: expect.stringMatching(/\/ranges\/[0-9a-f]{32}\.safetensors$/),
      seconds: expect.toSatisfy((s: number) => s > 0),
    });
  });

  test("draws what the command line says, from its seed on", async () => {
    const ranges = async (...args: readonly string[]): Promise<string> => {
      const { code, out, err } = await calibrate(...args);
      expect(code, err).toBe(0);
      return readFileSync(out.trim()).toString("base64");
    };
    const line = ["--prompt", "a cat", "--width", "32", "--height", "32"];
    const first = await ranges(...line);
    expect(await ranges(...line, "--seed", "5")).not.toBe(first);
    expect(await ranges(...line, "--room", "1.4")).not.toBe(first);
    expect(await ranges(...line, "--prompt", "a dog")).not.toBe(first);
  });

  test("says what is wrong before it loads anything", async () => {
    const empty = space.file("empty.txt", "\n  \n");
    const refusals: [readonly string[], string | RegExp][] = [
      [["--prompts", empty], /^tintype: --prompts: .*empty\.txt holds no prompts\. Write one in/],
      [["--prompts", `${space.path}/none.txt`], "none.txt"],
      [["--prompts", empty, "--prompt", "a"], "not both"],
      [["--prompt", " "], "--prompt: expected TEXT"],
      [["--steps", "0"], "--steps: expected a whole number from 1 to 1000, got 0"],
      [["--room", "0.9"], "--room: expected a number from 1 to 10, got 0.9"],
      [["--width", "60"], "--width: expected a multiple of 8"],
      [["--model", `${space.path}/nowhere`], "nowhere"],
    ];
    for (const [args, message] of refusals) {
      const { code, out, err } = await calibrate(...args);
      expect({ code, out }, err).toEqual({ code: 2, out: "" });
      expect(err).toMatch(message);
      expect(err.trimEnd().split("\n")).toHaveLength(1);
    }
    expect(() => readdirSync(CACHE)).toThrow("ENOENT");
  });

  test("that is stopped keeps nothing", async () => {
    const stop = new AbortController();
    const terminal = fakeTerminal({
      signal: stop.signal,
      err: (text) => void (text.startsWith("step 1") && stop.abort()),
    });
    const line = ["calibrate", ...QUICK, "--prompt", "a", "--prompt", "b", "--threads", "1"];
    expect(await runCli(line, terminal)).toBe(130);
    expect(() => readdirSync(`${CACHE}/ranges`)).toThrow("ENOENT");
  });

  test("help shows its defaults", async () => {
    const { out } = await tintype("calibrate", "--help");
    const { steps, room, prompts } = THOROUGH_CALIBRATION;
    expect(out).toContain(`(default ${steps})`);
    expect(out).toContain(`(default ${room})`);
    expect(out).toContain(`(default ${prompts.length} of several kinds)`);
    const lines = out.slice(0, out.indexOf("Examples:")).split("\n");
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(100);
  });
});

test("generate --dtype int8 measures once, and the picture says that it is in int8", async () => {
  const [first, second, plain] = ["first", "second", "plain"].map((n) => `${space.path}/${n}.png`);
  const line = ["generate", "a cat", ...QUICK, "--seed", "3", "--device", "cpu", "--output"];
  const measured = "measuring the model for int8\n";
  const one = await tintype(...line, first!, "--dtype", "int8");
  expect(one.code, one.err).toBe(0);
  expect(one.err.split(measured)).toHaveLength(2); // once
  const two = await tintype(...line, second!, "--dtype", "int8", "--json");
  expect(two.err).not.toContain("measuring");
  expect(JSON.parse(two.out)).toMatchObject({ device: "cpu", dtype: "int8" });
  await tintype(...line, plain!);

  const pixels = async (file: string) => (await decodePicture(readFileSync(file), file)).data;
  expect(await pixels(second!)).toEqual(await pixels(first!));
  expect(await pixels(plain!)).not.toEqual(await pixels(first!));
  const settings = async (file: string): Promise<Record<string, string>> =>
    JSON.parse((await tintypeInspect(file)).out).parameters.settings;
  expect(await settings(first!)).toMatchObject({ Dtype: "int8", Seed: "3" });
  expect(await settings(plain!)).not.toHaveProperty("Dtype");
});

const tintypeInspect = async (file: string) => {
  const terminal = fakeTerminal();
  await runCli(["inspect", file, "--json"], terminal);
  return { out: terminal.stdout() };
};

test("inspect says what int8 would take", async () => {
  const { out } = await tintypeInspect(`${MODELS}/tiny-sd1`);
  const { memory } = JSON.parse(out) as { memory: { dtype: string; bytes: number }[] };
  const of = (dtype: string): number => memory.find((m) => m.dtype === dtype)!.bytes;
  expect(memory.map(({ dtype }) => dtype)).toEqual(["fp32", "fp32", "int8", "int8", "fp16"]);
  expect(of("int8")).toBeLessThan(of("fp32"));
});

test("evaluate --dtype int8 records that", async () => {
  const out = `${space.path}/report`;
  const line = ["evaluate", "--model", SMALL, "--steps", "1", "--prompts", "2", "--device", "cpu"];
  const { code, out: text, err } = await tintype(...line, "--dtype", "int8", "--out", out);
  expect(code, err).toBe(0);
  expect(text).toMatch(/\ncomputed in +int8 on cpu\n/);
  const results = JSON.parse(readFileSync(`${out}/results.json`, "utf8"));
  expect(results).toMatchObject({ device: "cpu", dtype: "int8", psnr: expect.any(Number) });
  expect(readFileSync(`${out}/report.html`, "utf8")).toContain("int8 on cpu");
});
