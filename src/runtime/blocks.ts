import type { Graph } from "../graph/graph.js";
import { blockedLayout, NCHWC, type WeightLayout } from "../onnx/blocks/layouts.js";
import { blockedRules } from "../onnx/blocks/rules.js";
import { encodeModel } from "../onnx/model.js";
import type { LoweringRules } from "../onnx/rules.js";
import { toFloat32 } from "../tensor/convert.js";
import { derivedTensor, type StoredTensor, type StoredTensors } from "../tensor/stored.js";
import { sizeOf } from "../tensor/tensor.js";
import { type AtPlace, type Room, room, workplaces } from "../util/workplaces.js";
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
  blocks: BlockedSetup,
): StoredTensors | undefined {
  const found = new Map<string, StoredTensor>();
  const at = workplaces(() => ({ stored: room(), widened: room() }));
  for (const [name, stored] of weights) {
    const isMapped = stored.dtype !== "i8" && stored.source.path !== undefined;
    if (graph.params.has(name) && !isMapped) return undefined;
    const layout = blocks.layoutOf(stored.shape);
    const isReady = stored.dtype === "f32" && layout === undefined;
    if (isReady || !isMapped) found.set(name, stored);
    else found.set(name, arranged(name, stored, at, layout, blocks.block));
  }
  return found;
}

/** Where one weight at a time is read to, and widened. */
interface Rooms {
  readonly stored: Room;
  readonly widened: Room;
}

function arranged(
  name: string,
  { dtype, shape, source, offset, length }: StoredTensor,
  at: AtPlace<Rooms>,
  layout: WeightLayout | undefined,
  block: number,
): StoredTensor {
  const order = layout ? `in blocks of ${block}` : "in float32";
  const how = `${name} [${shape}] ${dtype} at ${offset} ${order}`;
  return derivedTensor("f32", shape, source, how, (into) =>
    at(async (rooms) => {
      const bytes = await source.read(offset, length, rooms.stored(length));
      const made = into && toFloat32(into, "f32");
      if (!layout) return toFloat32(bytes, dtype, made);
      const isFloat = dtype === "f32";
      const wide = isFloat ? undefined : toFloat32(rooms.widened(4 * sizeOf(shape)), "f32");
      return layout.pack(toFloat32(bytes, dtype, wide), made);
    }),
  );
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
