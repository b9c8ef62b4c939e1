import type { Manifests, ModelFiles } from "../../src/checkpoints/index.js";
import { type Graph, manifest } from "../../src/graph/graph.js";
import { TOKEN_TABLE } from "../../src/models/clip/model.js";
import { vaeFactor } from "../../src/models/vae/config.js";
import { decoderGraph, encoderGraph, textGraph, unetGraph } from "../../src/pipelines/graphs.js";
import { type Part, predictMemory, weightBytes } from "../../src/pipelines/index.js";

/*
 * What a model's graphs say about it before a weight is loaded.
 */

type Graphs = Readonly<Record<Part, Graph>>;

/** Bytes that a model takes on a kind of device. */
export interface DeviceMemory {
  readonly device: "cpu" | "gpu";
  readonly dtype: "fp32" | "fp16";
  readonly lowMemory: boolean;
  readonly bytes: number;
}

/** The four programs of a model. */
export function graphsOf({ text, unet, vae }: ModelFiles): Graphs {
  return {
    text: textGraph(text.config),
    unet: unetGraph(unet.config),
    encoder: encoderGraph(vae.config),
    decoder: decoderGraph(vae.config),
  };
}

/** The parameters that they ask for. */
export function manifestsOf({ text }: ModelFiles, graphs: Graphs): Manifests {
  const table = `${TOKEN_TABLE}.weight`;
  const rows = text.weights.get(table)?.shape[0] ?? text.config.vocabSize;
  return {
    text: new Map([[table, [rows, text.config.hiddenSize]], ...manifest(graphs.text)]),
    unet: manifest(graphs.unet),
    vae: new Map([...manifest(graphs.encoder), ...manifest(graphs.decoder)]),
  };
}

/** Memory for one picture of the model's own size, from a prompt, with guidance. */
export function memoryNeeds(
  { unet, vae }: ModelFiles,
  graphs: Graphs,
): { readonly memory: readonly DeviceMemory[]; readonly side: number } {
  const factor = vaeFactor(vae.config);
  const side = unet.config.sampleSize * factor;
  const size = { width: side, height: side, batch: 1, guided: true };
  const parts: readonly Part[] = ["text", "unet", "decoder"];
  const predict = (lowMemory: boolean) =>
    predictMemory({ graphs: (part) => [graphs[part]], factor }, size, { parts, lowMemory });
  const whole = predict(false);
  const saved = (["text", "unet"] as const).reduce(
    (n, part) => n + weightBytes(graphs[part], 2),
    0,
  );
  return {
    side,
    memory: [
      { device: "cpu", dtype: "fp32", lowMemory: false, bytes: Math.round(whole.peak) },
      { device: "cpu", dtype: "fp32", lowMemory: true, bytes: Math.round(predict(true).peak) },
      // The autoencoder computes in fp32 everywhere.
      { device: "gpu", dtype: "fp16", lowMemory: false, bytes: Math.round(whole.peak - saved) },
    ],
  };
}
