import type { StoredTensors } from "../tensor/stored.js";
import type { Tensor } from "../tensor/tensor.js";
import { invariant, TintypeError } from "../util/errors.js";
import type { JsonObject } from "./configReader.js";
import type { ModelFamily } from "./families.js";
import type { ModelFiles, Prediction } from "./types.js";

/** A prediction type and what told it. */
export interface PredictionFinding {
  readonly prediction: Prediction | "probe";
  readonly source: string;
}

/** `prediction_type` of a scheduler_config.json; diffusers' schedulers predict noise without it. */
export function predictionOfScheduler(scheduler: JsonObject, file: string): Prediction {
  const value = scheduler.prediction_type ?? "epsilon";
  if (value === "epsilon" || value === "v_prediction" || value === "sample") return value;
  throw new TintypeError(
    "unsupported",
    `${file}: prediction_type is ${JSON.stringify(value)}. Supported: epsilon, v_prediction, sample.`,
  );
}

const PARAMETERIZATIONS: Readonly<Record<string, Prediction>> = {
  eps: "epsilon",
  v: "v_prediction",
  x0: "sample",
};

/** What the .yaml beside an LDM file says: `parameterization`, which is eps where it is not given. */
export function predictionFromYaml(yaml: string): Prediction {
  const found = /^\s*parameterization\s*:\s*["']?(\w+)/m.exec(yaml);
  return PARAMETERIZATIONS[found?.[1] ?? "eps"] ?? "epsilon";
}

const MODELSPEC: Readonly<Record<string, Prediction>> = {
  epsilon: "epsilon",
  eps: "epsilon",
  v: "v_prediction",
  v_prediction: "v_prediction",
  velocity: "v_prediction",
};

/**
 * How the weights of a single file want to be read, from what stands in and beside the file: a
 * .yaml, ComfyUI's marker tensors `v_pred` and `ztsnr`, ModelSpec metadata. Otherwise SD 1.x and
 * inpainting models predict noise, as ComfyUI, the A1111 web UI and diffusers take it; SD 2.x came
 * in both kinds, which only a run can tell apart.
 */
export function findPrediction(
  family: ModelFamily,
  tensors: StoredTensors,
  metadata: Readonly<Record<string, string>>,
  yaml: string | undefined,
): PredictionFinding {
  if (yaml !== undefined) {
    return { prediction: predictionFromYaml(yaml), source: "the .yaml beside the file" };
  }
  if (tensors.has("v_pred")) {
    return { prediction: "v_prediction", source: 'the marker tensor "v_pred"' };
  }
  const said = MODELSPEC[metadata["modelspec.prediction_type"]?.toLowerCase() ?? ""];
  if (said !== undefined) return { prediction: said, source: "the file's metadata" };
  if (family === "sd2") return { prediction: "probe", source: "a run at the last timestep" };
  return { prediction: "epsilon", source: "the convention of its family" };
}

/**
 * The prediction type that one run shows. x: standard normal latents at the last timestep, where
 * nearly all is noise; output: what the network made of them, same shape. A network that predicts
 * noise gives x back; one that predicts v gives about minus the picture, which is not in x. The
 * slope of output over x is near 1 or near 0. (The idea is the A1111 web UI's.)
 */
export function predictionFromProbe(x: Tensor, output: Tensor): "epsilon" | "v_prediction" {
  invariant(x.data.length === output.data.length, "probe: input and output differ in size");
  let xx = 0;
  let xy = 0;
  for (let i = 0; i < x.data.length; i++) {
    xx += x.data[i]! ** 2;
    xy += x.data[i]! * output.data[i]!;
  }
  return xy > 0.5 * xx ? "epsilon" : "v_prediction";
}

const PUBLISHED: JsonObject = {
  _class_name: "PNDMScheduler",
  beta_end: 0.012,
  beta_schedule: "scaled_linear",
  beta_start: 0.00085,
  clip_sample: false,
  num_train_timesteps: 1000,
  set_alpha_to_one: false,
  skip_prk_steps: true,
  steps_offset: 1,
  trained_betas: null,
};

/**
 * The scheduler_config.json that was published with Stable Diffusion: PNDM. A file marked `ztsnr` was trained on betas rescaled to zero terminal
 * SNR, and samples on trailing timesteps (Lin et al. 2023).
 */
export function publishedScheduler(
  prediction: Prediction | "probe",
  zeroTerminalSnr: boolean,
): JsonObject {
  const told = prediction === "probe" ? {} : { prediction_type: prediction };
  if (zeroTerminalSnr) {
    return {
      ...PUBLISHED,
      _class_name: "DDIMScheduler",
      rescale_betas_zero_snr: true,
      timestep_spacing: "trailing",
      ...told,
    };
  }
  return { ...PUBLISHED, ...told };
}

/** Side of the training latents of a single file: 96 for SD 2.x with v-prediction, otherwise 64. */
export function publishedSampleSize(family: ModelFamily, prediction: Prediction | "probe"): number {
  return family === "sd2" && prediction === "v_prediction" ? 96 : 64;
}

/** The model once a probe has told its prediction, with the published scheduler and size for it. */
export function withPrediction(model: ModelFiles, prediction: Prediction): ModelFiles {
  if (model.prediction !== "probe") return model;
  const sampleSize = publishedSampleSize(model.family, prediction);
  return {
    ...model,
    prediction,
    scheduler: publishedScheduler(prediction, false),
    unet: { ...model.unet, config: { ...model.unet.config, sampleSize } },
  };
}
