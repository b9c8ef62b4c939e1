import { expect, test } from "vitest";
import {
  operatorTime,
  readProfile,
  timeByKind,
  timeByLayer,
  timeByOperator,
  typicalRun,
} from "./profile.js";

const node = (name: string, operator: string, dur: number) => ({
  cat: "Node",
  name: `${name}_kernel_time`,
  dur,
  args: { op_name: operator },
});
const run = (dur: number) => ({ cat: "Session", name: "model_run", dur });

const BLOCK = "down_blocks.0.attentions.1.transformer_blocks.0";

/** As ONNX Runtime writes it: what loads first, then the nodes of a run, then the run. */
const EVENTS = [
  { cat: "Session", name: "model_loading_array", dur: 500 },
  node("conv_in/Conv_2_nchwc", "Conv", 40),
  node("ReorderOutput_token_3", "ReorderOutput", 10),
  node("down_blocks.0.resnets.0.norm1/InstanceNormalization_4", "InstanceNormalization", 20),
  node("QuickGelu_5", "QuickGelu", 10),
  node("down_blocks.0.resnets.0.conv1/Conv_6", "Conv", 60),
  node(`${BLOCK}.attn1.to_v/Gemm_7`, "Gemm", 100),
  node("MultiHeadAttention_8", "MultiHeadAttention", 300),
  node(`${BLOCK}.attn1.to_out.0/Gemm_9`, "Gemm", 100),
  node("Add_10", "Add", 10),
  node(`${BLOCK}.ff.net.0.proj/Gemm_11`, "Gemm", 250),
  node("Slice_12/GatherSliceToSplitFusion", "Split", 50),
  node(`${BLOCK}.ff.net.2/Gemm_13`, "Gemm", 40),
  node("out", "Conv", 10),
  { cat: "Session", name: "SequentialExecutor::Execute", dur: 1100 },
  run(1200),
];

test("nodes without weights belong to the module around their neighbours", () => {
  const [first, ...more] = readProfile(EVENTS);
  expect(more).toEqual([]);
  expect(first!.microseconds).toBe(1200);
  expect(first!.nodes.map((n) => n.path)).toEqual([
    "conv_in",
    "", // between conv_in and a block
    "down_blocks.0.resnets.0.norm1",
    "down_blocks.0.resnets.0",
    "down_blocks.0.resnets.0.conv1",
    `${BLOCK}.attn1.to_v`,
    `${BLOCK}.attn1`,
    `${BLOCK}.attn1.to_out.0`,
    BLOCK,
    `${BLOCK}.ff.net.0.proj`,
    `${BLOCK}.ff`,
    `${BLOCK}.ff.net.2`,
    "", // after the last
  ]);
});

test("time by layer, cut to a depth, with its largest operator", () => {
  const typical = typicalRun(readProfile(EVENTS));
  expect(timeByLayer(typical, 1)).toEqual([
    expect.objectContaining({ name: "down_blocks.0", calls: 10, milliseconds: 0.94 }),
    expect.objectContaining({ name: "conv_in", calls: 1, milliseconds: 0.04, share: 0.04 }),
    expect.objectContaining({ name: "", calls: 2, milliseconds: 0.02 }),
  ]);
  expect(timeByLayer(typical, 4).slice(0, 2)).toEqual([
    {
      name: `${BLOCK}.attn1`,
      calls: 3,
      milliseconds: 0.5,
      share: 0.5,
      mostly: { name: "MultiHeadAttention", share: 0.6 },
    },
    expect.objectContaining({ name: `${BLOCK}.ff`, milliseconds: 0.34 }),
  ]);
});

test("time by kind of layer, wherever it stands", () => {
  const kinds = timeByKind(typicalRun(readProfile(EVENTS)));
  expect(kinds.map(({ name, milliseconds }) => [name, milliseconds])).toEqual([
    ["transformer_blocks.attn1", 0.5],
    ["transformer_blocks.ff", 0.34],
    ["resnets.conv1", 0.06],
    ["conv_in", 0.04],
    ["", 0.02], // before the first block and after the last
    ["resnets.norm1", 0.02],
    ["resnets", 0.01], // an activation
    ["transformer_blocks", 0.01], // a sum
  ]);
});

test("time by operator, with the layer that uses it most", () => {
  const rows = timeByOperator(typicalRun(readProfile(EVENTS)), 1);
  expect(rows[0]).toEqual({
    name: "Gemm",
    calls: 4,
    milliseconds: 0.49,
    share: 0.49,
    mostly: { name: "down_blocks.0", share: 1 },
  });
  expect(rows.map((r) => r.name)).toContain("ReorderOutput");
  expect(rows.reduce((sum, r) => sum + r.share, 0)).toBeCloseTo(1);
});

test("of several runs, each operator takes its median", () => {
  const slow = (event: (typeof EVENTS)[number]) =>
    event.name.startsWith("conv_in") ? { ...event, dur: 9000 } : event;
  const runs = readProfile([...EVENTS, ...EVENTS.map(slow), run(1300), ...EVENTS]);
  expect(runs.map((r) => r.nodes.length)).toEqual([13, 13, 0, 13]);
  const typical = typicalRun(runs.filter((r) => r.nodes.length > 0));
  expect(typical.microseconds).toBe(1200);
  expect(operatorTime(typical)).toBe(1000);
  expect(() => typicalRun(runs)).toThrow("differ in their operators");
});

test("anything else is no profile", () => {
  for (const bad of [{}, [{ name: "x" }], null, "[]"]) {
    expect(() => readProfile(bad)).toThrow(/the profile: expected a list of events/);
  }
});
