import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { DEFAULT_DTYPES } from "../../cli/bench/options.js";
import { DTYPES } from "../../cli/generate/options.js";
import { runCli } from "../../cli/program.js";
import type { Terminal } from "../../cli/terminal.js";
import { DTYPE_CHOICES } from "../../src/node.js";
import { fakeTerminal } from "./fakeTerminal.js";
import { MICRO, scratch } from "./fixtures.js";

const space = scratch();
const cacheBefore = process.env.TINTYPE_CACHE;
beforeAll(() => {
  process.env.TINTYPE_CACHE = `${space.path}/cache`;
});
afterAll(() => {
  if (cacheBefore === undefined) delete process.env.TINTYPE_CACHE;
  else process.env.TINTYPE_CACHE = cacheBefore;
  space[Symbol.dispose]();
});

const QUICK = ["--model", MICRO, "--dtype", "fp32", "--size", "64", "--rounds", "1"];

async function bench(args: readonly string[], settings: Partial<Terminal> = {}) {
  const terminal = fakeTerminal(settings);
  const where = ["--threads", "1", "--device", "cpu"];
  const code = await runCli(["bench", ...where, ...args], terminal);
  return { code, out: terminal.stdout(), err: terminal.stderr() };
}

/** A program of this text, which Node.js runs. */
function program(name: string, text: string): string {
  const path = `${space.path}/${name}`;
  writeFileSync(path, `#!${process.execPath}\n${text}`);
  chmodSync(path, 0o755);
  return path;
}

/** Prints what sd-cli prints, and refuses --type q4_0. */
const SDCPP = `
const { writeFileSync } = require("node:fs");
const args = process.argv.slice(2);
const at = (flag) => args[args.indexOf(flag) + 1];
if (args[0] === "--version") {
  console.log("stable-diffusion.cpp version 1.2, commit abc");
  process.exit(0);
}
if (at("--type") === "q4_0") {
  console.log("[ERROR] stable-diffusion.cpp:905  - get sd version from file failed: 'x'");
  process.exit(1);
}
const steps = Number(at("--steps"));
console.log("[INFO ] stable-diffusion.cpp:5628 - generate_image " + at("-W") + "x" + at("-H"));
console.log("[INFO ] model_loader.cpp:1304 - loading tensors completed, taking 0.25s (read: 0.1s)");
console.log("[INFO ] stable-diffusion.cpp:5296 - get_learned_condition completed, taking 0.75s");
for (let i = 1; i <= steps; i++) process.stdout.write("\\r  |===> | " + i + "/" + steps + " - 4.00it/s\\u001b[K");
console.log("\\n[INFO ] stable-diffusion.cpp:5711 - sampling completed, taking 1.00s");
console.log("[INFO ] stable-diffusion.cpp:5391 - decode_first_stage completed, taking 2.00s");
writeFileSync(at("-o"), "");
`;

/** Answers as bench/diffusersWorker.py does; bf16 crashes in its first step. */
const DIFFUSERS = `
const { createInterface } = require("node:readline");
const { writeFileSync } = require("node:fs");
let dtype;
createInterface({ input: process.stdin }).on("line", (line) => {
  const request = JSON.parse(line);
  dtype = request.dtype ?? dtype;
  if (request.do === "step" && dtype === "bf16") {
    console.error("RuntimeError: no bfloat16 here");
    process.exit(3);
  }
  if (request.do === "picture") writeFileSync(request.output, "");
  const value = request.do === "memory" || request.do === "picture" ? 5e8 : 0.5;
  console.log(JSON.stringify({ value, about: "diffusers 0.99", dtype }));
});
`;

test("contestants are measured part by part, and whole; who fails does not stop the others", async () => {
  const sd = program("sd", SDCPP);
  const python = program("python", DIFFUSERS);
  const out = `${space.path}/results`;
  const against = ["--against", `sdcpp/f16,q4_0:${sd}`, "--against", `diffusers:${python}`];
  const args = [...QUICK, "--steps", "2", ...against, "--out", out, "--json"];
  const { code, out: text, err } = await bench(args);
  expect(code, err).toBe(0);
  const json = JSON.parse(text);
  expect(
    json.contestants.map((c: { name: string }) => c.name),
    err,
  ).toEqual(["tintype fp32", "sdcpp f16", "sdcpp q4_0", "diffusers fp32", "diffusers bf16"]);
  expect(json.contestants[1].about).toBe("stable-diffusion.cpp version 1.2, commit abc");
  expect(json.settings).toMatchObject({ rounds: 1, steps: 2, sizes: [64], threads: 1 });
  const median = (contestant: string, measure: string): number | undefined =>
    json.results.find(
      (r: { contestant: string; measure: string }) =>
        r.contestant === contestant && r.measure === measure,
    )?.median;
  for (const measure of ["load", "text", "step", "decode", "picture", "memory"]) {
    expect(median("tintype fp32", measure), measure).toBeGreaterThan(0);
  }
  expect(median("tintype fp32", "load")).toBeLessThan(100);
  expect(median("tintype fp32", "memory")).toBeGreaterThan(3e7);
  expect(median("sdcpp f16", "step")).toBe(0.25);
  expect(median("sdcpp f16", "text")).toBe(0.5);
  expect(median("sdcpp f16", "memory")).toBeGreaterThan(1e6);
  expect(median("diffusers fp32", "decode")).toBe(0.5);
  expect(median("diffusers fp32", "memory")).toBe(5e8);
  expect(median("diffusers bf16", "picture")).toBeUndefined();
  expect(json.failures).toEqual([
    {
      contestant: "sdcpp q4_0",
      size: 64,
      message: "sdcpp q4_0: get sd version from file failed: 'x'.",
    },
    {
      contestant: "diffusers bf16",
      size: 64,
      message: "diffusers bf16: it ended with code 3, and said: RuntimeError: no bfloat16 here.",
    },
  ]);
  const ratio = json.ratios.find(
    (r: { theirs: string; measure: string }) => r.theirs === "sdcpp f16" && r.measure === "step",
  );
  expect(ratio.ratio).toBeCloseTo(median("tintype fp32", "step")! / 0.25);
  expect(JSON.parse(readFileSync(`${out}/results.json`, "utf8"))).toEqual(json);
  expect(readFileSync(`${out}/chart.svg`, "utf8")).toContain("guided step, s");
  expect(readdirSync(`${space.path}/cache/benchmark`)).toEqual([]); // nothing is left behind
});

test("a table for people; parts are those that were asked for, also a start with an empty cache", async () => {
  const out = `${space.path}/results`; // over its own results
  const { code, out: text, err } = await bench([...QUICK, "--parts", "step,cold", "--out", out]);
  expect(code, err).toBe(0);
  expect(text).toMatch(
    /micro on .+, \d+ cores\n\n64x64 +cold, s +step, s +memory, GB\ntintype fp32 +/,
  );
  expect(text).not.toContain("picture");
  expect(text).toContain("Medians of 1 round,");
  const { results } = JSON.parse(readFileSync(`${out}/results.json`, "utf8"));
  const cold = results.find((r: { measure: string }) => r.measure === "cold");
  expect(cold.median).toBeGreaterThan(0.1);
  expect(readdirSync(`${space.path}/cache/benchmark`)).toEqual([]);
});

test("what does not fit is told before anything is measured", async () => {
  const told = async (...args: string[]): Promise<string> => {
    const { code, err } = await bench(args);
    expect(code).toBe(2);
    return err;
  };
  expect(await told("--against", "sd:x")).toContain("--against: unknown program");
  expect(await told("--against", "diffusers")).toContain("expected diffusers:PYTHON");
  expect(await told("--dtype", "fp33")).toContain('did you mean "fp32"?');
  expect(await told("--size", "512,100")).toContain("--size: expected a multiple of 8");
  expect(await told("--parts", "step,sampling")).toContain("--parts: unknown parts");
  const file = `${MICRO}.safetensors`;
  const python = ["--against", "diffusers:python3", "--out", `${space.path}/no`];
  expect(await told("--model", file, ...python)).toContain("diffusers folder");
  space.file("mine.txt", "mine");
  expect(await told(...QUICK, "--out", space.path)).toContain("holds something else");
  expect(existsSync(`${space.path}/no`)).toBe(false);
});

test("where nobody can be measured, it says why and fails", async () => {
  const python = program(
    "broken",
    'console.log(JSON.stringify({ error: "this Python has no module torch" }));',
  );
  const out = `${space.path}/none`;
  const others = ["--against", `diffusers/fp32:${python}`, "--against", `sdcpp:${space.path}/gone`];
  const { code, err } = await bench(["--model", MICRO, "--dtype", "fp16", ...others, "--out", out]);
  expect(code).toBe(2);
  expect(err).toContain("tintype fp16: cpu computes in fp32 here. Leave fp16 out of --dtype.");
  expect(err).toContain("diffusers fp32: this Python has no module torch.");
  expect(err).toMatch(/gone could not be started: there is no such program\./);
  expect(err).toContain("every contestant failed");
  expect(existsSync(out)).toBe(false);
});

test("stopping ends what runs and keeps nothing", async () => {
  const stop = new AbortController();
  const out = `${space.path}/stopped`;
  const python = program("slow", "setInterval(() => {}, 1000);");
  const args = ["--model", MICRO, "--against", `diffusers/fp32:${python}`, "--out", out];
  const err = (text: string): void => {
    if (text.includes("diffusers fp32")) setTimeout(() => stop.abort(), 100);
  };
  const { code } = await bench(["--dtype", "fp32", ...args], { signal: stop.signal, err });
  expect(code).toBe(130);
  expect(existsSync(out)).toBe(false);
});

test("dtypes come from one list", () => {
  expect(DTYPES).toEqual(DTYPE_CHOICES);
  expect(["auto", ...DEFAULT_DTYPES]).toEqual(DTYPES);
});
