import { readFileSync } from "node:fs";
import { afterAll, describe, expect, test } from "vitest";
import { runCli } from "../../cli/program.js";
import { decodePicture } from "../../src/node.js";
import { fakeTerminal } from "./fakeTerminal.js";
import { MODELS, scratch } from "./fixtures.js";

const space = scratch();
afterAll(() => space[Symbol.dispose]());

async function tintype(...args: readonly string[]) {
  const terminal = fakeTerminal();
  const code = await runCli(args, terminal);
  return { code, out: terminal.stdout(), err: terminal.stderr() };
}

const LINE = ["generate", "a cat", "--seed", "3", "--steps", "6", "--threads", "1", "--json"];
const MODEL = ["--model", `${MODELS}/tiny-sd1`];

/** What `tintype generate` reports with these options, what its picture says, and its pixels. */
async function made(name: string, ...options: readonly string[]) {
  const file = `${space.path}/${name}.png`;
  const { code, out, err } = await tintype(...LINE, ...MODEL, ...options, "--output", file);
  expect(code, err).toBe(0);
  const told = JSON.parse((await tintype("inspect", file, "--json")).out);
  const { data } = await decodePicture(readFileSync(file), file);
  return { report: JSON.parse(out), told: told.parameters.settings, data };
}

test("shortcuts change the picture, and are recorded in it", async () => {
  const plain = await made("plain");
  expect(plain.report).toMatchObject({ guidance_steps: null, deep_cache: 1, merge_tokens: 1 });
  for (const name of ["Guidance steps", "Deep cache", "Deep cache branch", "Merge tokens"])
    expect(plain.told).not.toHaveProperty(name);

  const all = await made(
    "all",
    ..."--deep-cache 3 --deep-cache-branch 2 --deep-cache-power 1.2".split(" "),
    ..."--merge-tokens 2 --guidance-steps 1:4".split(" "),
  );
  expect(all.report).toMatchObject({
    guidance_steps: [1, 4],
    deep_cache: 3,
    deep_cache_branch: 2,
    deep_cache_power: 1.2,
    merge_tokens: 2,
  });
  expect(all.told).toMatchObject({
    "Guidance steps": "1:4",
    "Deep cache": "3",
    "Deep cache branch": "2",
    "Deep cache power": "1.2",
    "Merge tokens": "2",
  });
  expect(all.data).not.toEqual(plain.data);

  const usual = await made("usual", "--deep-cache", "2");
  expect(usual.report).toMatchObject({ deep_cache_branch: 0, deep_cache_power: 1.4 });
  expect(usual.told).toMatchObject({ "Deep cache power": "1.4" });

  const open = await made("open", "--guidance-steps", ":3");
  expect([open.report.guidance_steps, open.told["Guidance steps"]]).toEqual([[0, 3], "0:3"]);
  const rest = await made("rest", "--guidance-steps", "3:");
  expect([rest.report.guidance_steps, rest.told["Guidance steps"]]).toEqual([[3, null], "3:"]);
  const every = await made("every", "--guidance-steps", "0:");
  expect(every.data).toEqual(plain.data);
  expect(open.data).not.toEqual(plain.data);
});

describe("what the options may not be", () => {
  test.each([
    [
      "--deep-cache",
      "0",
      /^tintype: --deep-cache: expected a whole number from 1 to 1000, got 0\./,
    ],
    ["--deep-cache-branch", "x", /^tintype: --deep-cache-branch: expected .*, got "x"\./],
    ["--deep-cache-power", "0.5", /^tintype: --deep-cache-power: expected a number from 1 to 10/],
    [
      "--merge-tokens",
      "9",
      /^tintype: --merge-tokens: expected a whole number from 1 to 8, got 9\./,
    ],
    ["--guidance-steps", "4", /^tintype: --guidance-steps: expected FROM:TO, such as .*, got 4\./],
    ["--guidance-steps", "4:4", /^tintype: --guidance-steps: expected .* got "4:4"\./],
    ["--guidance-steps", ":", /^tintype: --guidance-steps: expected .* got ":"\./],
    ["--guidance-steps", "-1:2", /^tintype: --guidance-steps: expected .* got "-1:2"\./],
  ])("%s %s", async (option, value, message) => {
    const { code, err } = await tintype(...LINE, ...MODEL, `${option}=${value}`);
    expect(code).toBe(2);
    expect(err).toMatch(message);
  });

  test.each([
    ["--deep-cache-branch", "2"],
    ["--deep-cache-power", "1.5"],
  ])("%s %s without --deep-cache", async (option, value) => {
    const { code, err } = await tintype(...LINE, ...MODEL, option, value);
    expect(code).toBe(2);
    expect(err).toMatch(/--deep-cache-power need --deep-cache N/);
  });

  test("what only the model can tell is told before anything is drawn", async () => {
    const line = [...LINE, ...MODEL, "--deep-cache", "2", "--deep-cache-branch", "12"];
    const { code, err } = await tintype(...line);
    expect(code).toBe(2);
    expect(err).toContain("deep cache branch: expected a whole number from 0 to 11, got 12.");
    const small = await tintype(...LINE, ...MODEL, "--merge-tokens", "4");
    expect(small.code).toBe(2);
    expect(small.err).toContain("squares of 16 latents a side, and this picture has 8.");
  });
});
