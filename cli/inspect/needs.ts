import type { Manifests, ModelFiles } from "../../src/checkpoints/index.js";
import { type Graph, manifest } from "../../src/graph/graph.js";
import { TOKEN_TABLE } from "../../src/models/clip/model.js";
import { vaeFactor } from "../../src/models/vae/config.js";
import { int8Params } from "../../src/nn/int8.js";
import { decoderGraph, encoderGraph, textGraph, unetGraph } from "../../src/pipelines/graphs.js";
import { type Part, predictMemory, weightBytes } from "../../src/pipelines/index.js";
import { keepsOf } from "../../src/pipelines/int8.js";

/*
 * What a model's graphs say about it before a weight is loaded.
 */

type Graphs = Readonly<Record<Part, Graph>>;

/** Bytes that a model takes on a kind of device. */
export interface DeviceMemory {
  readonly device: "cpu" | "gpu";
  readonly dtype: "fp32" | "int8" | "fp16";
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

/** The same programs, of which some compute in 8 bits. */
function inInt8({ unet, vae }: Pick<ModelFiles, "unet" | "vae">, graphs: Graphs): Graphs {
  return {
    ...graphs,
    unet: unetGraph(unet.config, int8Params({ keeps: keepsOf("unet") })),
    decoder: decoderGraph(vae.config, int8Params({ keeps: keepsOf("decoder") })),
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
  const predict = (of: Graphs, lowMemory: boolean) =>
    predictMemory({ graphs: (part) => [of[part]], factor }, size, { parts, lowMemory });
  const whole = predict(graphs, false);
  const onCpu = (dtype: "fp32" | "int8", of: Graphs): DeviceMemory[] =>
    [false, true].map((lowMemory) => {
      const bytes = Math.round(predict(of, lowMemory).peak);
      return { device: "cpu", dtype, lowMemory, bytes };
    });
  const saved = (["text", "unet"] as const).reduce(
    (n, part) => n + weightBytes(graphs[part], 2),
    0,
  );
  return {
    side,
    memory: [
      ...onCpu("fp32", graphs),
      ...onCpu("int8", inInt8({ unet, vae }, graphs)),
      // The autoencoder computes in fp32 everywhere.
      { device: "gpu", dtype: "fp16", lowMemory: false, bytes: Math.round(whole.peak - saved) },
    ],
  };
}
