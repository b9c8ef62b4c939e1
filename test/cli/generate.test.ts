import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { afterAll, expect, test } from "vitest";
import { runCli } from "../../cli/program.js";
import { decodePicture } from "../../src/node.js";
import { DEFAULT_GUIDANCE_SCALE, DEFAULT_STEPS } from "../../src/pipelines/defaults.js";
import { VERSION } from "../../src/util/version.js";
import { type Repo, serveHub } from "../hub/server.js";
import { fakeTerminal } from "./fakeTerminal.js";
import { MICRO, MODELS, PICTURES, scratch } from "./fixtures.js";

const space = scratch();
afterAll(() => space[Symbol.dispose]());

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

const pixels = async (file: string): Promise<Uint8Array> =>
  (await decodePicture(readFileSync(file), file)).data;

const QUICK = ["--model", MICRO, "--steps", "2", "--threads", "1"];

test("--json prints one object: settings, files, timings; nothing else", async () => {
  const file = `${space.path}/json-%d.png`;
  const { code, out, err } = await tintype(
    ..."generate|a cat|--json|--seed|7|--batch-size|2|--batch-count|2|--output".split("|"),
    file,
    ...QUICK,
    ..."--sampler|DPM++ 2M Karras|--negative-prompt|dogs|--cfg-scale|5".split("|"),
  );
  expect(code, err).toBe(0);
  expect(out.endsWith("}\n")).toBe(true);
  const { timings, ...report } = JSON.parse(out) as Record<string, unknown>;
  const files = [0, 1, 2, 3].map((k) => file.replace("%d", String(k)));
  expect(report).toEqual({
    version: VERSION,
    prompt: "a cat",
    negative_prompt: "dogs",
    truncated_prompt: null,
    truncated_negative_prompt: null,
    seed: 7,
    seeds: [7, 8, 9, 10],
    model: MICRO,
    config: null,
    vae: null,
    variant: null,
    family: "sd1",
    prediction: "epsilon",
    steps: 2,
    cfg_scale: 5,
    guidance_steps: null,
    deep_cache: 1,
    deep_cache_branch: null,
    deep_cache_power: null,
    merge_tokens: 1,
    vae_tiles: null,
    sampler: "dpmpp_2m",
    schedule: "karras",
    eta: 0,
    rng: "cpu",
    width: 64,
    height: 64,
    batch_size: 2,
    batch_count: 2,
    init_image: null,
    mask: null,
    strength: null,
    device: expect.any(String),
    dtype: "fp32",
    threads: 1,
    low_memory: false,
    files,
  });
  const seconds = expect.toSatisfy((s: number) => s > 0 && s < 60); // a busy machine takes its time
  expect(timings).toEqual({
    load_s: seconds,
    text_s: seconds,
    step_s: [seconds, seconds, seconds, seconds],
    vae_s: seconds,
    total_s: expect.any(Number),
    peak_rss_bytes: expect.any(Number),
  });
  const { peak_rss_bytes } = timings as { peak_rss_bytes: number };
  expect(peak_rss_bytes).toBeGreaterThan(50e6);
  for (const name of files) expect(existsSync(name)).toBe(true);
});

/** The smallest model, with settings of its own. */
function particular(name: string, settings: object): string {
  const folder = `${space.path}/${name}`;
  cpSync(MICRO, folder, { recursive: true });
  const index = JSON.parse(readFileSync(`${MICRO}/model_index.json`, "utf8")) as object;
  writeFileSync(`${folder}/model_index.json`, JSON.stringify({ ...index, _tintype: settings }));
  return folder;
}

test("a model's own settings hold where the user names none, and are recorded", async () => {
  const model = particular("own", { steps: 3, guidanceScale: 2.5, sampler: "euler" });
  const [own, told] = [`${space.path}/own.png`, `${space.path}/told-all.png`];
  const line = ["generate", "a cat", "--json", "--seed", "1", "--threads", "1"];
  const first = await tintype(...line, "--model", model, "--output", own);
  const settings = { steps: 3, cfg_scale: 2.5, sampler: "euler" };
  expect(JSON.parse(first.out)).toMatchObject(settings);
  expect(
    JSON.parse((await tintype("inspect", own, "--json")).out).parameters.settings,
  ).toMatchObject({ Steps: "3", "CFG scale": "2.5", Sampler: "Euler" });
  const all = ["--steps", "3", "--cfg-scale", "2.5", "--sampler", "euler"];
  await tintype(...line, ...all, "--model", MICRO, "--output", told);
  expect(await pixels(own)).toEqual(await pixels(told));
  const other = ["--steps", "2", "--cfg-scale", "1", "--sampler", "ddim"];
  const changed = await tintype(...line, ...other, "--model", model, "--output", own);
  expect(JSON.parse(changed.out)).toMatchObject({ steps: 2, cfg_scale: 1, sampler: "ddim" });

  const some = particular("some", { steps: 3, sampler: "euler" });
  const inspected = JSON.parse((await tintype("inspect", some, "--json")).out);
  expect(inspected.defaults).toEqual({ steps: 3, guidance_scale: 7.5, sampler: "euler" });
  const text = (await tintype("inspect", MICRO)).out;
  expect(text).toContain("by default  20 steps, guidance 7.5, the scheduler's sampler\n");
  const wrong = await tintype(...line, "--model", particular("wrong", { sampler: "oiler" }));
  expect(wrong.code).toBe(2);
  expect(wrong.err).toMatch(/wrong\/model_index\.json: _tintype: .*oiler.*euler/);
});

test("a seed beyond 2^53 is written whole", async () => {
  const seed = "18446744073709551610";
  const { out } = await tintype(
    ..."generate|a cat|--json|--seed".split("|"),
    seed,
    ...QUICK,
    "--output",
    `${space.path}/seed.png`,
  );
  expect(JSON.parse(out)).toMatchObject({ seed, seeds: [seed] });
});

test("pictures of a run have the seeds that follow", async () => {
  const run = (...more: readonly string[]) => tintype("generate", "a cat", ...QUICK, ...more);
  const file = (name: string): string => `${space.path}/${name}.png`;
  await run("--seed", "41", "--batch-size", "2", "--batch-count", "2", "--output", file("four"));
  const alone = await run("--seed", "43", "--output", file("alone"));
  expect(alone.out).toBe(`${file("alone")}  64x64, seed 43\n`);
  expect(await pixels(file("four-2"))).toEqual(await pixels(file("alone")));
  expect(await pixels(file("four-1"))).not.toEqual(await pixels(file("alone")));
});

test("a random seed is printed, and gives the picture again", async () => {
  const [first, again] = [`${space.path}/random.png`, `${space.path}/again.png`];
  const { out } = await tintype("generate", "a cat", ...QUICK, "--output", first);
  const seed = /seed (\d+)\n$/.exec(out)![1]!;
  await tintype("generate", "a cat", ...QUICK, "--seed", seed, "--output", again);
  expect(await pixels(again)).toEqual(await pixels(first));
});

test("a picture says how it was made, and inspect reads it back", async () => {
  const file = `${space.path}/told.png`;
  await tintype(
    ...'generate|夜, a "cat"|--seed|5|--steps|4|--sampler|euler_a|--rng|cuda|--strength|0.5'.split(
      "|",
    ),
    ..."--negative-prompt|dogs: none|--width|72|--height|48|--cfg-scale|3".split("|"),
    ...["--init-image", `${PICTURES}/init.png`, "--model", MICRO, "--output", file],
  );
  const settings = {
    Steps: "4",
    Sampler: "Euler a",
    "Schedule type": "Automatic",
    "CFG scale": "3",
    Seed: "5",
    Size: "72x48",
    Model: "micro",
    "Denoising strength": "0.5",
    RNG: "NV",
    Version: `tintype ${VERSION}`,
  };
  const { out } = await tintype("inspect", file, "--json");
  expect(JSON.parse(out)).toMatchObject({
    kind: "picture",
    width: 72,
    height: 48,
    parameters: { prompt: '夜, a "cat"', negative_prompt: "dogs: none", settings },
  });
  const { out: text } = await tintype("inspect", file);
  expect(text).toMatch(
    /^.*told\.png: 72x48\n {2}Prompt +夜, a "cat"\n {2}Negative prompt +dogs: none/,
  );
  expect(text).toMatch(/\n {2}Sampler +Euler a\n/);
});

test("what does not fit the text encoder is told", async () => {
  const file = `${space.path}/long.png`;
  const long = `${"word ".repeat(80)}the end`;
  const args = ["generate", long, "--negative-prompt", long, ...QUICK, "--output", file];
  const { err } = await tintype(...args);
  expect(err).toMatch(
    /\ntintype: the prompt is too long\. This was cut off its end: ".*the end"\n/,
  );
  expect(err).toMatch(/\ntintype: the negative prompt is too long\. .*the end"\n/);
  const { out } = await tintype(...args, "--json");
  expect(JSON.parse(out)).toMatchObject({
    truncated_prompt: expect.stringMatching(/the end$/),
    truncated_negative_prompt: expect.stringMatching(/the end$/),
  });
});

test("the model that comes with Tintype runs without any option", async () => {
  const { model } = JSON.parse(
    (
      await tintype(
        "generate",
        "a cat",
        "--steps",
        "1",
        "--output",
        `${space.path}/own.png`,
        "--json",
      )
    ).out,
  ) as { readonly model: string };
  expect(model).toMatch(/models.postcards$/);
});

test("what the CPU does not do is told", async () => {
  const file = `${space.path}/half.png`;
  const line = ["generate", "a", ...QUICK, "--device", "cpu", "--dtype", "fp16", "--output", file];
  const { code, err } = await tintype(...line);
  expect(code).toBe(0);
  expect(err).toContain("tintype: fp16 is for GPUs: the CPU computes in fp32.\n");
});

test("--low-memory gives the same picture", async () => {
  const [plain, low] = [`${space.path}/plain.png`, `${space.path}/low.png`];
  const line = ["generate", "a cat", ...QUICK, "--seed", "3", "--batch-count", "2", "--output"];
  await tintype(...line, plain);
  const { err } = await tintype(...line, low, "--low-memory");
  expect(err.match(/loading the UNet/g)).toHaveLength(1); // told once, though loaded twice
  expect(await pixels(`${space.path}/low-1.png`)).toEqual(
    await pixels(`${space.path}/plain-1.png`),
  );
});

test("stopping leaves the pictures that are whole, and nothing half-written", async () => {
  const stop = new AbortController();
  const names: string[] = [];
  const terminal = fakeTerminal({
    signal: stop.signal,
    out: (text) => {
      names.push(text);
      if (names.length === 2) stop.abort();
    },
  });
  const line = ["--batch-count", "9", "--output", `${space.path}/stop-%d.png`];
  const code = await runCli(["generate", "a cat", ...QUICK, ...line], terminal);
  expect(code).toBe(130);
  expect(terminal.stderr()).toMatch(/Ctrl-C again.*\ntintype: stopped\.\n$/s);
  const left = readdirSync(space.path).filter((name) => name.includes("stop"));
  expect(left).toEqual(["stop-0.png", "stop-1.png"]);
});

test("inspect tells what a model is made of", async () => {
  const { code, out } = await tintype("inspect", MICRO);
  expect(code).toBe(0);
  expect(out).toMatch(/micro: Stable Diffusion 1\.x\n/);
  expect(out).toMatch(/\n {2}UNet +56\.4 thousand +f32 +225\.8 kB +unet\/diffusion_pytorch_model/);
  expect(out).toMatch(/\n {2}cpu, fp32, --low-memory +\d/);
  expect(out).toContain("No key is missing, unknown or of another shape.");
  const json = JSON.parse((await tintype("inspect", `${MODELS}/tiny-inpaint`, "--json")).out);
  expect(json).toMatchObject({ kind: "model", runs: true, family: "sd1-inpaint" });
  expect(json.components.unet).toMatchObject({ missing: [], unknown: [], wrong_shape: [] });
  expect(json.memory.map((m: { low_memory: boolean }) => m.low_memory)).toEqual([
    ...[false, true], // fp32
    ...[false, true], // int8
    false,
  ]);
});

test("inspect tells what is missing, and names what does not run", async () => {
  const file = await tintype("inspect", `${MODELS}/micro.vae.safetensors`);
  expect(file).toMatchObject({ code: 0, err: "" });
  expect(file.out).toMatch(/: a VAE alone\n.*It does not run as it is: .*--vae\.\n$/s);
  const part = await tintype("inspect", `${MICRO}/unet`, "--json");
  expect(JSON.parse(part.out)).toMatchObject({
    kind: "weights",
    runs: false,
    files: [{ family: "unet", tensors: 684, parameters: 56440, dtypes: { f32: 56440 } }],
  });
});

const NOTHING = { entries: [], others: [] };

test("the cache's other folders are shown and cleared", async () => {
  const cache = `${space.path}/other-cache`;
  mkdirSync(`${cache}/benchmark/sd1.5/unet`, { recursive: true });
  writeFileSync(`${cache}/benchmark/sd1.5/unet/weights.safetensors`, new Uint8Array(3000));
  mkdirSync(`${cache}/ranges`);
  writeFileSync(`${cache}/ranges/0123.safetensors`, new Uint8Array(500));
  process.env.TINTYPE_CACHE = cache;
  try {
    const ls = await tintype("cache", "ls");
    expect(ls.out).toMatch(
      /3\.0 kB\s+models of `tintype bench`\n.*500 bytes\s+ranges .*\n3\.5 kB in /s,
    );
    const clear = await tintype("cache", "clear");
    expect(clear.out).toBe(`Freed 3.5 kB in ${cache}.\n`);
    expect(readdirSync(cache)).toEqual([]);
    const json = await tintype("cache", "ls", "--json");
    expect(JSON.parse(json.out)).toEqual({ folder: cache, bytes: 0, ...NOTHING });
  } finally {
    delete process.env.TINTYPE_CACHE;
  }
});

test("cache ls and clear say where the cache is", async () => {
  process.env.TINTYPE_CACHE = `${space.path}/cache`;
  try {
    const ls = await tintype("cache", "ls");
    expect(ls.out).toMatch(/^The cache in .* is empty\. /);
    const json = await tintype("cache", "ls", "--json");
    expect(JSON.parse(json.out)).toEqual({ folder: `${space.path}/cache`, bytes: 0, ...NOTHING });
    const clear = await tintype("cache", "clear");
    expect(clear.out).toBe(`Freed 0 bytes in ${space.path}/cache.\n`);
  } finally {
    delete process.env.TINTYPE_CACHE;
  }
});

/** A repository of a hub with the files of a folder. */
function repoOf(folder: string): Repo {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((path) => statSync(`${folder}/${path}`).isFile())
    .map((path) => [path, readFileSync(`${folder}/${path}`)]);
  return { id: "tester/micro", commit: "0".repeat(40), files: Object.fromEntries(files) };
}

test("a Hugging Face id is downloaded once", async () => {
  await using hub = await serveHub([repoOf(MICRO)]);
  const kept = { ...process.env };
  Object.assign(process.env, { HF_ENDPOINT: hub.endpoint, HF_HOME: `${space.path}/hf` });
  try {
    const line = ["generate", "a", "--steps", "1", "--seed", "1", "--output"];
    const [first, again] = [`${space.path}/hub.png`, `${space.path}/hub-again.png`];
    const online = await tintype(...line, first, "--model", "tester/micro");
    expect(online.code, online.err).toBe(0);
    expect(online.err).toMatch(/downloading \d+ of \d+ files: [\d.]+ kB of [\d.]+ kB\n/);
    process.env.HF_HUB_OFFLINE = "1";
    const offline = await tintype(...line, again, "--model", "tester/micro");
    expect(offline.code, offline.err).toBe(0);
    expect(offline.err).not.toContain("downloading");
    expect(await pixels(again)).toEqual(await pixels(first));
    const unknown = await tintype(...line, again, "--model", "tester/other");
    expect(unknown.code).toBe(2);
    expect(unknown.err).toMatch(/tintype: tester\/other .*HF_HUB_OFFLINE/);
  } finally {
    process.env = kept;
  }
});

test("devices lists the CPU", async () => {
  const { code, out } = await tintype("devices", "--json");
  expect(code).toBe(0);
  expect(JSON.parse(out)).toContainEqual(expect.objectContaining({ name: "cpu", available: true }));
});

test("help fits 80 columns and shows the defaults", async () => {
  const { code, out } = await tintype("generate", "--help");
  expect(code).toBe(0);
  expect(out.split("\n").filter((line) => line.length > 80)).toEqual([]);
  for (const part of [DEFAULT_STEPS, DEFAULT_GUIDANCE_SCALE].map((x) => `the model's, or ${x}`)) {
    expect(out.replace(/\s+/g, " ")).toContain(part);
  }
  expect(out).toContain("0.8, with --mask 1");
  expect(out).toContain("Examples:");
});
