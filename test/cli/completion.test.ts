import { execFileSync, spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { SAMPLER_NAMES, SCHEDULE_NAMES } from "../../cli/names.js";
import { runCli } from "../../cli/program.js";
import { SAMPLERS, SCHEDULES } from "../../src/diffusion/index.js";
import { fakeTerminal } from "./fakeTerminal.js";

async function script(shell: string): Promise<string> {
  const terminal = fakeTerminal();
  expect(await runCli(["completion", shell], terminal)).toBe(0);
  return terminal.stdout();
}

/** What bash offers for the last of these words. */
async function offers(...words: readonly string[]): Promise<string[]> {
  const quoted = words.map((w) => `'${w}'`).join(" ");
  const program = `${await script("bash")}
COMP_WORDS=(${quoted}); COMP_CWORD=${words.length - 1}; _tintype; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return execFileSync("bash", ["--norc", "-c", program], { cwd: import.meta.dirname })
    .toString()
    .split("\n")
    .filter((line) => line !== "");
}

const has = (shell: string): boolean => spawnSync(shell, ["--version"]).status === 0;

test("help and completion know every sampler and schedule", () => {
  expect(SAMPLER_NAMES).toEqual(SAMPLERS.map((sampler) => sampler.name));
  expect(SCHEDULE_NAMES).toEqual(SCHEDULES);
});

test.skipIf(!has("bash"))("bash completes commands, options, values and files", async () => {
  expect(await offers("tintype", "")).toEqual([
    "generate",
    "inspect",
    "train",
    "evaluate",
    "calibrate",
    "bench",
    "profile",
    "devices",
    "cache",
    "completion",
  ]);
  expect(await offers("tintype", "ge")).toEqual(["generate"]);
  expect(await offers("tintype", "cache", "")).toEqual(["ls", "clear"]);
  expect(await offers("tintype", "completion", "f")).toEqual(["fish"]);
  expect(await offers("tintype", "train", "a")).toEqual(["autoencoder"]);
  expect(await offers("tintype", "train", "clip", "--resume", "comp")).toEqual([
    "completion.test.ts",
  ]);
  expect(await offers("tintype", "generate", "a cat", "--s")).toEqual([
    "--steps",
    "--sampler",
    "--schedule",
    "--seed",
    "--strength",
  ]);
  expect(await offers("tintype", "generate", "a cat", "--sampler", "dpmpp_2m")).toEqual([
    "dpmpp_2m",
    "dpmpp_2m_sde",
  ]);
  expect(await offers("tintype", "generate", "a", "--steps", "3", "--device", "c")).toEqual([
    "cpu",
    "cuda",
    "coreml",
  ]);
  expect(await offers("tintype", "generate", "a", "--init-image", "comp")).toEqual([
    "completion.test.ts",
  ]);
  expect(await offers("tintype", "inspect", "comp")).toEqual(["completion.test.ts"]);
  expect(await offers("tintype", "cache", "ls", "--")).toEqual(["--json", "--help"]);
});

test.each(["zsh", "fish"])("%s is taught every command and option", async (shell) => {
  const text = await script(shell);
  const known = fakeTerminal();
  await runCli(["generate", "--help"], known);
  const options = [...known.stdout().matchAll(/--([a-z-]+)/g)].map(([, name]) => name!);
  expect(options.length).toBeGreaterThan(25);
  for (const word of [
    ...options,
    "generate",
    "inspect",
    "devices",
    "clear",
    "euler_a",
    "autoencoder",
  ]) {
    expect(text).toContain(word);
  }
  if (has(shell)) {
    const flag = shell === "fish" ? "--no-execute" : "-n";
    const parsed = spawnSync(shell, [flag], { input: text });
    expect(parsed.stderr.toString()).toBe("");
  }
});
