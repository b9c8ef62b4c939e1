import { trainingRules } from "../onnx/training/rules.js";
import { blockedLayout } from "../tensor/blocks.js";
import { channelBlock } from "./blocks.js";
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
