import { encodeModel } from "../onnx/model.js";
import { blockedLayout, NCHWC } from "../onnx/training/layouts.js";
import { trainingRules } from "../onnx/training/rules.js";
import type { Client } from "./client.js";
import type { TrainingSetup } from "./setup.js";

/** Training with blocked convolutions where this build and processor have them. */
export async function cpuTraining(client: Client): Promise<TrainingSetup> {
  const block = await channelBlock(client);
  if (block === undefined) return { rules: trainingRules(), fillsOutputs: true };
  return {
    rules: trainingRules(block),
    fillsOutputs: true,
    layoutOf: (shape) => blockedLayout(shape, block),
  };
}

/** Training with standard operators alone. */
export async function wasmTraining(): Promise<TrainingSetup> {
  return { rules: trainingRules(), fillsOutputs: false };
}

const CHANNELS = 32;
const PIXELS = 2;

/** Channels that lie together in ONNX Runtime's blocked pictures; undefined where it has none. */
async function channelBlock(client: Client): Promise<number | undefined> {
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
