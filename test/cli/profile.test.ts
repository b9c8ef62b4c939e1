import { expect, test } from "vitest";
import { runCli } from "../../cli/program.js";
import { fakeTerminal } from "./fakeTerminal.js";
import { MICRO } from "./fixtures.js";

async function profile(args: readonly string[], columns = 80) {
  const terminal = fakeTerminal({ columns: () => columns });
  const line = ["profile", "--model", MICRO, "--threads", "1", "--size", "64", "--runs", "1"];
  const code = await runCli([...line, ...args], terminal);
  return { code, out: terminal.stdout(), err: terminal.stderr() };
}

interface Share {
  readonly name: string;
  readonly calls: number;
  readonly milliseconds: number;
  readonly share: number;
}

test.each([
  ["unet", ["conv_in", "down_blocks.0.resnets.0"], ["Conv", "Gemm", "MultiHeadAttention"]],
  [
    "decoder",
    ["decoder.conv_in", "decoder.mid_block.resnets.0"],
    ["Conv", "InstanceNormalization"],
  ],
  ["encoder", ["encoder.conv_in"], ["Conv"]],
  ["text", ["encoder.layers.0.self_attn"], ["Gemm", "LayerNormalization"]],
])("%s: time by layer and by operator", async (part, layers, operators) => {
  const { code, out, err } = await profile(["--part", part, "--json"]);
  expect(code, err).toBe(0);
  const json = JSON.parse(out);
  expect(json).toMatchObject({ part, device: "cpu", dtype: "fp32", size: 64, batch: 1, runs: 1 });
  const names = (shares: readonly Share[]): string[] => shares.map(({ name }) => name);
  expect(names(json.layers)).toEqual(expect.arrayContaining(layers));
  expect(names(json.operators)).toEqual(expect.arrayContaining(operators));
  for (const shares of [json.layers, json.operators] as readonly Share[][]) {
    expect(shares.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1);
    const times = shares.map((s) => s.milliseconds);
    expect(times).toEqual([...times].sort((a, b) => b - a));
    expect(times.reduce((a, b) => a + b, 0)).toBeCloseTo(json.operator_milliseconds);
  }
  expect(json.milliseconds).toBeGreaterThan(0);
});

test("a deeper name tells more layers apart", async () => {
  const layersAt = async (depth: string): Promise<Share[]> =>
    JSON.parse((await profile(["--depth", depth, "--json"])).out).layers;
  const [blocks, modules] = [await layersAt("1"), await layersAt("9")];
  expect(blocks.length).toBeLessThan(modules.length / 3);
  expect(blocks.map((b) => b.name)).toContain("down_blocks.0");
  const conv = modules.find(({ name }) => name === "down_blocks.0.resnets.0.conv1")!;
  expect(conv.calls).toBe(1); // blocked by the engine, and still known by its module
  const calls = (shares: readonly Share[]): number => shares.reduce((sum, s) => sum + s.calls, 0);
  expect(calls(blocks)).toBe(calls(modules));
});

test("tables with bars where there is room", async () => {
  const { code, out, err } = await profile([], 150);
  expect(code, err).toBe(0);
  expect(out).toMatch(/^UNet of .*micro, fp32 on cpu, 64x64\n[\d.]+ m?s a run/);
  expect(out).toMatch(
    /\nlayers to depth 2 +share +time +calls +mostly\n\S+ +[\d.]+ % +[\d.]+ ms +\d+ .* █{24}\n/,
  );
  expect(out).toMatch(/\noperators +share +time +calls +mostly in\n/);
  const narrow = await profile(["--part", "text"], 60);
  expect(narrow.out).toMatch(/2 prompts\n/);
  expect(narrow.out).not.toContain("█");
});

test("what does not fit is told", async () => {
  const { code, err } = await profile(["--part", "unets"]);
  expect({ code, err }).toMatchObject({
    code: 2,
    err: expect.stringContaining("--part: unknown part"),
  });
  const dtype = await profile(["--dtype", "fp16", "--json"]);
  expect(dtype.err).toContain("the CPU computes in fp32");
  const huge = await profile(["--size", "16384", "--batch-size", "4096"]);
  expect(huge).toMatchObject({ code: 2, err: expect.stringContaining("would take about") });
});
