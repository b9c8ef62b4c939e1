import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadModelFiles, type ModelFiles } from "../../src/checkpoints/index.js";
import { groupNorm } from "../../src/graph/composites.js";
import type { Graph } from "../../src/graph/graph.js";
import { graphOf } from "../../src/graph/graph.js";
import * as op from "../../src/graph/ops.js";
import { decoderGraph, encoderGraph, textGraph, unetGraph } from "../../src/pipelines/graphs.js";
import { tileGraph } from "../../src/pipelines/tileGraphs.js";
import { unetProgramGraph } from "../../src/pipelines/unetPrograms.js";
import { nodePlatform } from "../../src/platform/node/platform.js";
import { startNodeWorker } from "../../src/platform/node/worker.js";
import { connect } from "../../src/runtime/client.js";
import { type Engine, engine } from "../../src/runtime/engine.js";
import { nodeEngine } from "../../src/runtime/node/engine.js";
import { deviceSetup } from "../../src/runtime/setups.js";
import type { StoredTensors } from "../../src/tensor/stored.js";
import { full } from "../../src/tensor/tensor.js";
import { findAdapter, useAdapter } from "./adapters.js";

/*
 * Where operators run: on WebGPU none may be left to the CPU, and half precision computes with halves.
 */

const adapter = findAdapter();
const platform = nodePlatform();
const isFull = process.env.TINTYPE_TEST === "full";

/** Group norm by an operator that ONNX Runtime's WebGPU provider lacks. */
function engineWithForeignOperator(config?: Readonly<Record<string, string>>): Engine {
  const setup = deviceSetup("webgpu");
  const rules: typeof setup.rules = {
    ...setup.rules,
    composites: {
      ...setup.rules.composites,
      groupNorm: (b, inputs, _, { groups, eps }) =>
        b.node("GroupNormalization", inputs, { num_groups: groups, epsilon: { float: eps } }),
    },
  };
  const worker = startNodeWorker(new URL("../../src/runtime/node/worker.js", import.meta.url));
  return engine(connect(worker), { ...setup, rules, ...(config ? { config } : {}) });
}

describe.skipIf(adapter === undefined)("on WebGPU", () => {
  let files: ModelFiles;
  let folder: string;
  beforeAll(async () => {
    useAdapter(adapter!);
    files = await loadModelFiles(await platform.openFolder("test/golden/models/micro"), {});
    folder = await mkdtemp(join(tmpdir(), "tintype-placement-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  test("a program with an operator for the CPU is refused, which would run there otherwise", async () => {
    const scale = op.input("scale", [4]);
    const y = groupNorm(op.input("x", [1, 4, 2, 2]), scale, scale, { groups: 2, eps: 1e-5 });
    const load = (on: Engine) => on.load(graphOf({ y }), new Map(), { label: "norm" });
    await using strict = engineWithForeignOperator();
    await expect(load(strict)).rejects.toThrow(/norm: webgpu refused \(.*CPU EP/);
    await using lax = engineWithForeignOperator({});
    await using program = await load(lax);
    const answer = await program.run({ x: full([1, 4, 2, 2], 3), scale: full([4], 1) });
    expect(answer.y!.data.every((v) => Math.abs(v - 1) < 1e-5)).toBe(true);
  });

  const { compute, title } = adapter?.halfPrecision
    ? ({ compute: "f16", title: "in half precision" } as const)
    : ({ compute: "f32", title: "in full precision" } as const);

  test(`every program of a model stays on the device ${title}`, async () => {
    await using on = nodeEngine({ platform, device: "webgpu", compute, cacheLimit: 0 });
    const { text, unet, vae } = files;
    const form = { branch: 2, mergeTokens: 1, textApart: true };
    const programs: Record<string, readonly [Graph, StoredTensors]> = {
      text: [textGraph(text.config), text.weights],
      unet: [unetGraph(unet.config), unet.weights],
      encoder: [encoderGraph(vae.config), vae.weights],
      decoder: [decoderGraph(vae.config), vae.weights],
    };
    for (const name of ["text", "down", "deep", "up"] as const)
      programs[`unet ${name}`] = [unetProgramGraph(name, unet.config, form), unet.weights];
    const merging = { mergeTokens: 2, textApart: false };
    programs["unet merging"] = [unetProgramGraph("unet", unet.config, merging), unet.weights];
    for (const part of ["encoder", "decoder"] as const)
      for (const name of ["coarse", "statistics", "fine"] as const)
        programs[`${part} ${name}`] = [tileGraph(part, name, vae.config), vae.weights];
    for (const [label, [graph, weights]] of Object.entries(programs)) {
      const fullPrecision = /^(en|de)coder/.test(label);
      // Sessions whose operators are not all on the device are not made.
      await using _ = await on.load(graph, weights, { label, fullPrecision });
    }
  });

  test.skipIf(!isFull)(`the UNet's operators run there, over halves alone`, async () => {
    await using on = nodeEngine({ platform, device: "webgpu", compute, cacheLimit: 0 });
    const { config, weights } = files.unet;
    const options = { label: "unet", profile: join(folder, "unet") };
    const program = await on.load(unetGraph(config), weights, options);
    await program.run({
      x: full([2, config.inChannels, 8, 8], 0.1),
      t: full([2], 500),
      context: full([2, 77, config.crossAttentionDim], 0.1),
    });
    await program[Symbol.asyncDispose]();
    const [file] = await readdir(folder);
    const nodes = (JSON.parse(await readFile(join(folder, file!), "utf8")) as Event[]).filter(
      ({ cat }) => cat === "Node",
    );
    expect(nodes.length).toBeGreaterThan(500);
    expect(new Set(nodes.map(({ args }) => args.provider))).toEqual(
      new Set(["WebGpuExecutionProvider"]),
    );
    const type = compute === "f16" ? "float16" : "float";
    const weighing = nodes.filter(({ args }) => /^(Conv|Gemm|MatMul)$/.test(args.op_name));
    const types = new Set(
      weighing.flatMap(({ args }) => args.input_type_shape.flatMap((input) => Object.keys(input))),
    );
    expect(types).toEqual(new Set([type]));
    // What comes in, the embedding of the time, and what goes out; no weight.
    const casts = nodes.filter(({ args }) => args.op_name === "Cast");
    expect(casts.length).toBe(compute === "f16" ? 5 : 0);
  });
});

interface Event {
  readonly cat: string;
  readonly args: {
    readonly provider: string;
    readonly op_name: string;
    readonly input_type_shape: readonly Readonly<Record<string, readonly number[]>>[];
  };
}
