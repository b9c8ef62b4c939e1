import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { GrowthResult } from "../../src/benchmark/growth.js";
import { PUBLISHED_SHAPES } from "../../src/benchmark/publishedShapes.js";
import type { Graph } from "../../src/graph/graph.js";
import { int8Params } from "../../src/nn/int8.js";
import { denseParams } from "../../src/nn/layers.js";
import type { Params } from "../../src/nn/params.js";
import { decoderGraph, textGraph, unetGraph } from "../../src/pipelines/graphs.js";
import { keepsOf } from "../../src/pipelines/int8.js";
import { predictMemory } from "../../src/pipelines/memory.js";
import type { Part } from "../../src/pipelines/parts.js";

/*
 * Predictions beside what bench/growth.ts has measured: of processes that hold one part of Stable Diffusion 1.5.
 */

const FILE = new URL("../../bench/results/growth.json", import.meta.url);
const { points }: { points: GrowthResult[] } = JSON.parse(readFileSync(FILE, "utf8"));

const PARTS = { step: "unet", decode: "decoder" } as const;
const { unet, vae, text } = PUBLISHED_SHAPES["sd1.5"];

/** The graphs of one dtype, each traced once. */
function graphsOf(dtype: "fp32" | "int8"): (part: Part) => readonly Graph[] {
  const rule = (part: "unet" | "decoder"): Params =>
    dtype === "int8" ? int8Params({ keeps: keepsOf(part) }) : denseParams();
  const decoder = [decoderGraph(vae, rule("decoder"))];
  const graphs = { text: [textGraph(text)], unet: [unetGraph(unet, rule("unet"))], decoder };
  return (part) => (part === "encoder" ? decoder : graphs[part]);
}

describe.each(["fp32", "int8"] as const)("memory in %s", (dtype) => {
  const graphs = graphsOf(dtype);
  const measured = points.filter(
    ({ contestant, what }) => contestant === `tintype ${dtype}` && what in PARTS,
  );

  test("was measured", () => expect(measured.length).toBeGreaterThan(10));

  test.each(measured)("$what at $side, $batch at once", ({ what, side, batch, peakBytes }) => {
    const part = PARTS[what as keyof typeof PARTS];
    const size = { width: side, height: side, batch, guided: true };
    const { peak } = predictMemory({ graphs, factor: 8 }, size, { parts: [part] });
    expect(peak / peakBytes!).toBeGreaterThan(0.9);
    expect(peak / peakBytes!).toBeLessThan(1.8);
  });
});
