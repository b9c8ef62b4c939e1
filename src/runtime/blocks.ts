import type { Graph } from "../graph/graph.js";
import { NCHWC } from "../onnx/blocks/layouts.js";
import { blockedRules } from "../onnx/blocks/rules.js";
import { encodeModel } from "../onnx/model.js";
import type { LoweringRules } from "../onnx/rules.js";
import { blockedLayout, type WeightLayout } from "../tensor/blocks.js";
import { type Make, madeTensors, makers } from "../tensor/made.js";
import type { StoredTensor, StoredTensors } from "../tensor/stored.js";
import type { Client } from "./client.js";

/** Rules over weights of convolutions that lie in blocks already. */
export interface BlockedSetup {
  /** Channels that lie together. */
  readonly block: number;
  readonly rules: LoweringRules;
  /** The order of weights of a shape; row-major where it is undefined. */
  readonly layoutOf: (shape: readonly number[]) => WeightLayout | undefined;
}

/** Programs of blocks, where this build of the engine and this processor have them. */
export async function cpuBlocks(client: Client): Promise<BlockedSetup | undefined> {
  const block = await channelBlock(client);
  if (block === undefined) return undefined;
  const layoutOf: BlockedSetup["layoutOf"] = (shape) => blockedLayout(shape, block);
  return { block, rules: blockedRules(block), layoutOf };
}

/**
 * Weights as blocked programs take them: float32, convolutions' in blocks; worked out when they are read.
 * Those that the graph does not ask for come along, so that all programs of a network have the same. Undefined
 * where some that it asks for are in 8 bits, or in no file.
 */
export function inBlocks(
  graph: Graph,
  weights: StoredTensors,
  { block, layoutOf }: BlockedSetup,
): StoredTensors | undefined {
  const found = new Map<string, StoredTensor>();
  const make = makers();
  for (const [name, stored] of weights) {
    const { dtype, shape, source } = stored;
    const isMapped = dtype !== "i8" && source.path !== undefined;
    if (graph.params.has(name) && !isMapped) return undefined;
    const own = layoutOf(shape) && block;
    const isReady = dtype === "f32" && own === undefined;
    found.set(name, isReady || !isMapped ? stored : widened(name, stored, own, make));
  }
  return found;
}

function widened(
  name: string,
  stored: StoredTensor,
  block: number | undefined,
  make: Make,
): StoredTensor {
  const { dtype, shape } = stored;
  const recipe = { kind: "widen", dtype, shape, block } as const;
  return madeTensors(stored, recipe, [{ name, dtype: "f32", shape }], { make })[0]!;
}

const CHANNELS = 32;
const PIXELS = 2;

/** Channels that lie together in ONNX Runtime's blocked pictures; undefined where it has none. */
export async function channelBlock(client: Client): Promise<number | undefined> {
  const shape = [1, CHANNELS, 1, PIXELS];
  const model = encodeModel({
    nodes: [
      {
        opType: "ReorderInput",
        domain: NCHWC,
        inputs: ["x"],
        outputs: ["blocks"],
        attributes: {},
        name: "blocks",
      },
    ],
    initializers: [],
    inputs: [{ name: "x", dtype: "f32", shape }],
    outputs: [{ name: "blocks", dtype: "f32", shape }],
  });
  try {
    const { session } = await client.request({
      kind: "load",
      spec: {
        model,
        blobs: [],
        provider: "cpu",
        threads: 1,
        optimization: "disabled",
        config: {},
        saveTo: undefined,
        profile: undefined,
      },
    });
    const data = Float32Array.from({ length: CHANNELS * PIXELS }, (_, i) => i);
    const x = { type: "float32", shape, data } as const;
    const { outputs } = await client.request({ kind: "run", session, feeds: { x } });
    await client.request({ kind: "release", session });
    // Number 1, the second pixel of the first channel, comes after one block of first pixels.
    const block = (outputs.blocks!.data as Float32Array).indexOf(1);
    return block === 8 || block === 16 ? block : undefined;
  } catch {
    return undefined; // this build or processor has no blocked operators
  }
}
