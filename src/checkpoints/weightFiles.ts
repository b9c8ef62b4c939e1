import { TintypeError } from "../util/errors.js";

/** A component's weights in a diffusers folder: one file, or the index of several. */
export interface WeightFiles {
  readonly path: string;
  readonly sharded: boolean;
  /** The variant that the name carries, such as "fp16"; undefined for the plain one. */
  readonly variant: string | undefined;
}

/** Networks of a diffusers folder, by the names of their folders. */
export type ComponentName = "unet" | "vae" | "text_encoder";

/** Names of weights in the order in which they are tried. */
const DIFFUSERS = ["diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin"];
const TRANSFORMERS = ["model.safetensors", "pytorch_model.bin"];

/** `model.safetensors` as a variant calls it, and the index of shards in its place. */
function candidates(path: string, variant: string | undefined): WeightFiles[] {
  const whole = { path, sharded: false, variant };
  if (variant === undefined) return [whole, { path: `${path}.index.json`, sharded: true, variant }];
  const dot = path.lastIndexOf(".");
  const named = `${path.slice(0, dot)}.${variant}${path.slice(dot)}`;
  return [
    { path: named, sharded: false, variant },
    { path: `${path}.index.${variant}.json`, sharded: true, variant },
    { path: `${named}.index.json`, sharded: true, variant },
  ];
}

/**
 * The weights of a component among `paths`: safetensors before pickles; of these the `variant` that
 * was asked for, else plain, else fp16. `folder` ends in a slash or is empty. Undefined where there
 * are none.
 */
export function findWeights(
  paths: readonly string[],
  component: ComponentName,
  variant?: string,
  folder = `${component}/`,
): WeightFiles | undefined {
  const names = component === "text_encoder" ? TRANSFORMERS : DIFFUSERS;
  const order = variant === undefined ? [undefined, "fp16"] : [variant, undefined, "fp16"];
  return names
    .flatMap((name) => order.flatMap((v) => candidates(folder + name, v)))
    .find((candidate) => paths.includes(candidate.path));
}

/** As findWeights. Throws "not-found" naming what is there instead. */
export function requireWeights(
  root: string,
  paths: readonly string[],
  component: ComponentName,
  variant?: string,
  folder = `${component}/`,
): WeightFiles {
  const found = findWeights(paths, component, variant, folder);
  if (found !== undefined) return found;
  const there = paths.filter((path) => path.startsWith(folder));
  const name = (component === "text_encoder" ? TRANSFORMERS : DIFFUSERS)[0];
  throw new TintypeError(
    "not-found",
    `${root}: expected weights at "${folder}${name}", ` +
      `got ${there.length > 0 ? there.join(", ") : "nothing there"}.`,
  );
}
