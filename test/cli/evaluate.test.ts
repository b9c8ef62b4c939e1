import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { afterAll, expect, test } from "vitest";
import { runCli } from "../../cli/program.js";
import { decodePicture } from "../../src/node.js";
import { fakeTerminal } from "./fakeTerminal.js";
import { MICRO, MODELS, scratch } from "./fixtures.js";

const space = scratch();
afterAll(() => space[Symbol.dispose]());

const JUDGE = new URL("../../models/postcards-judge", import.meta.url).pathname;

async function evaluate(...args: readonly string[]) {
  const terminal = fakeTerminal();
  const code = await runCli(["evaluate", "--threads", "1", "--device", "cpu", ...args], terminal);
  return { code, out: terminal.stdout(), err: terminal.stderr() };
}

const QUICK = ["--model", MICRO, "--steps", "1", "--prompts", "3", "--batch-size", "2"];

test("--json prints what was measured, and the report shows every picture", async () => {
  const out = `${space.path}/report`;
  const { code, out: text, err } = await evaluate(...QUICK, "--seed", "5", "--json", "--out", out);
  expect(code, err).toBe(0);
  const json = JSON.parse(text) as Record<string, unknown>;
  const share = expect.toSatisfy((x: number) => x >= 0 && x <= 1);
  const attributes = { object: share, colour: share, count: share, position: share, time: share };
  expect(json).toMatchObject({
    prompts: 3,
    accuracy: { ...attributes, ground: share, all: share },
    judge: { ...attributes, weather: share, moon: share, ground: share, all: share },
    frechet: expect.toSatisfy((x: number) => x > 0 && Number.isFinite(x)),
    psnr: expect.toSatisfy((x: number) => x > 0 && x < 60),
    ssim: expect.toSatisfy((x: number) => Math.abs(x) < 1),
    model: MICRO,
    seed: 5,
    steps: 1,
    guidance_scale: 7.5,
  });
  expect(readFileSync(`${out}/results.json`, "utf8")).toBe(text);
  const report = readFileSync(`${out}/report.html`, "utf8");
  const shown = [...report.matchAll(/<img src="([^"]+)"/g)].map(([, name]) => name!);
  expect(shown).toHaveLength(6);
  expect(shown.map((name) => existsSync(`${out}/${name}`))).toEqual(Array(6).fill(true));
  expect(readdirSync(`${out}/pictures`)).toHaveLength(6);

  const again = await evaluate(...QUICK, "--seed", "5", "--out", out); // over its own report
  expect(again.code, again.err).toBe(0);
  expect(again.out).toMatch(/^ +right +judge\nobject +[\d.]+ % +[\d.]+ %\ncolour /);
  for (const name of ["count", "position", "time", "ground", "all", "Frechet distance", "SSIM"]) {
    expect(again.out).toContain(name);
  }
  expect(again.out.trimEnd().endsWith("report/report.html")).toBe(true);
  const { seconds_per_picture: _, ...same } = json;
  expect(JSON.parse(readFileSync(`${out}/results.json`, "utf8"))).toMatchObject(same);
});

test("a picture of an evaluation is what generate makes for its prompt and seed", async () => {
  const [out, file] = [`${space.path}/report`, `${space.path}/one.png`];
  const report = readFileSync(`${out}/report.html`, "utf8");
  const prompt = /pictures\/0001-made[\s\S]*?<figcaption>([^<]+)/.exec(report)![1]!.trim();
  const terminal = fakeTerminal();
  const line = ["generate", prompt, "--model", MICRO, "--steps", "1", "--seed", "6"];
  await runCli([...line, "--threads", "1", "--device", "cpu", "--output", file], terminal);
  const pixels = async (path: string) => (await decodePicture(readFileSync(path), path)).data;
  const [a, b] = [await pixels(`${out}/pictures/0001-made.png`), await pixels(file)];
  expect(Math.max(...a.map((x, i) => Math.abs(x - b[i]!)))).toBeLessThanOrEqual(1); // another batch
});

test("a folder that holds something else is left alone", async () => {
  const path = space.file("notes.txt", "mine");
  const { code, err } = await evaluate(...QUICK, "--out", space.path);
  expect(code).toBe(2);
  expect(err).toMatch(/tintype: --out: .* holds something else .* Name another folder\.\n/);
  expect(readFileSync(path, "utf8")).toBe("mine");
});

test("what does not fit is told", async () => {
  const out = ["--out", `${space.path}/none`];
  const few = await evaluate("--prompts", "1", ...out);
  expect(few).toMatchObject({
    code: 2,
    err: expect.stringContaining("--prompts: expected a whole"),
  });
  const sampler = await evaluate(...QUICK, "--sampler", "eulr", ...out);
  expect(sampler.err).toContain('did you mean "euler"?');
  const inpaint = await evaluate("--model", `${MODELS}/tiny-inpaint`, "--prompts", "2", ...out);
  expect(inpaint).toMatchObject({ code: 2, err: expect.stringContaining("inpainting") });
  expect(existsSync(`${space.path}/none`)).toBe(false);

  const other = `${space.path}/judge`;
  cpSync(JUDGE, other, { recursive: true });
  const config = JSON.parse(readFileSync(`${other}/config.json`, "utf8")) as { kinds: string[] };
  writeFileSync(
    `${other}/config.json`,
    JSON.stringify({ ...config, kinds: config.kinds.toReversed() }),
  );
  const judge = await evaluate(...QUICK, "--judge", other, ...out);
  expect(judge).toMatchObject({ code: 2, err: expect.stringContaining("Train the judge anew") });
  const nowhere = await evaluate(...QUICK, "--judge", `${space.path}/nowhere`, ...out);
  expect(nowhere.code).toBe(2);
});

test("stopping writes nothing", async () => {
  const stop = new AbortController();
  const terminal = fakeTerminal({
    signal: stop.signal,
    err: (text) => {
      if (text.includes("making pictures")) stop.abort();
    },
  });
  const line = [...QUICK, "--threads", "1", "--device", "cpu", "--out", `${space.path}/stopped`];
  expect(await runCli(["evaluate", ...line], terminal)).toBe(130);
  expect(existsSync(`${space.path}/stopped`)).toBe(false);
});
