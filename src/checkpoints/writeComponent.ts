import { encodeSafetensors, type TensorToWrite } from "../formats/index.js";
import type { Files } from "../platform/types.js";
import { writeJson } from "../platform/writeText.js";
import { fromFloat32 } from "../tensor/convert.js";
import type { Tensor } from "../tensor/tensor.js";
import type { JsonObject } from "./configReader.js";

/** What numbers weights are written in. */
export type WeightDType = "fp32" | "fp16";

/** Writes weights as a safetensors file, whole or not at all. */
export async function writeWeights(
  files: Files,
  path: string,
  weights: ReadonlyMap<string, Tensor>,
  dtype: WeightDType = "fp32",
): Promise<void> {
  const rows = new Map(
    [...weights].map(([name, { shape, data }]): [string, TensorToWrite] => {
      const kind = dtype === "fp16" ? "f16" : "f32";
      return [name, { dtype: kind, shape, bytes: fromFloat32(data, kind) }];
    }),
  );
  await files.writeAtomically(path, await encodeSafetensors(rows, { format: "pt" }));
}

/** One network of a folder: what diffusers and transformers call its files. */
export interface ComponentToWrite {
  readonly config: JsonObject;
  /** By the names that the file has. */
  readonly weights: ReadonlyMap<string, Tensor>;
  /** diffusers' file name, or that of transformers. */
  readonly library: "diffusers" | "transformers";
}

/** Writes a network's config.json and weights into `folder`. */
export async function writeComponent(
  files: Files,
  folder: string,
  { config, weights, library }: ComponentToWrite,
  dtype: WeightDType = "fp32",
): Promise<void> {
  const name = library === "diffusers" ? "diffusion_pytorch_model" : "model";
  await files.makeFolder(folder);
  await writeJson(files, `${folder}/config.json`, config);
  await writeWeights(files, `${folder}/${name}.safetensors`, weights, dtype);
}
