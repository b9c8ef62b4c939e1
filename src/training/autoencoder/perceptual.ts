import { loadClipModel } from "../../checkpoints/index.js";
import { readTensorFile } from "../../formats/index.js";
import * as op from "../../graph/ops.js";
import type { Value } from "../../graph/value.js";
import { clipVisionEncoder } from "../../models/clip/vision.js";
import { featureDistance, lpips } from "../../models/perceptual/lpips.js";
import type { Params } from "../../nn/params.js";
import type { StoredTensors } from "../../tensor/stored.js";
import { check } from "../../util/errors.js";
import { meanPool } from "../losses.js";
import { named, openFolder } from "../pretrained.js";
import type { TaskContext } from "../task.js";
import type { PerceptualConfig } from "./config.js";

/** A distance of pictures by a network that is not trained here. */
export interface PerceptualDistance {
  readonly weight: number;
  /** The network's weights by name: perceptual.*. */
  readonly frozen: StoredTensors;
  /** a and b [B,3,H,W] in [-1,1] -> the mean distance, a scalar; p is at the root. */
  distance(p: Params, a: Value, b: Value): Value;
}

/** Opens the network that the config names. Throws what its files do. */
export async function openPerceptual(
  config: PerceptualConfig,
  context: TaskContext,
): Promise<PerceptualDistance> {
  const { weight } = config;
  return "clip" in config
    ? { weight, ...(await clipDistance(config.clip, context)) }
    : { weight, ...(await vggDistance(config, context)) };
}

type Distance = Omit<PerceptualDistance, "weight">;

async function vggDistance(
  { vgg, lin }: { readonly vgg: string; readonly lin: string },
  { platform }: TaskContext,
): Promise<Distance> {
  const read = (key: string, path: string, part: string, file: RegExp) =>
    named(`loss.perceptual.${key}`, async () => {
      const { tensors } = await readTensorFile(await platform.openFile(path));
      const own = [...tensors].filter(([name]) => file.test(name));
      check(own.length > 0, "mismatch", `${path}: has no ${part}, so it is not what it should be.`);
      return own.map(([name, tensor]) => [`perceptual.${key}.${name}`, tensor] as const);
    });
  return {
    frozen: new Map([
      ...(await read("vgg", vgg, "features.0.weight as VGG16 has", /^features\./)),
      ...(await read("lin", lin, "lin0.model.1.weight as LPIPS has", /^lin\d\./)),
    ]),
    distance: (p, a, b) => lpips(p.at("perceptual.vgg"), p.at("perceptual.lin"), a, b),
  };
}

async function clipDistance(ref: string, context: TaskContext): Promise<Distance> {
  const { config, weights, mean, deviation, name } = await named("loss.perceptual.clip", async () =>
    loadClipModel(await openFolder(ref, context)),
  );
  const { vision } = config;
  const own = [...weights].filter(([key]) => key.startsWith("vision_model."));
  const channel = (values: readonly number[]): Value => op.constant([1, 3, 1, 1], values);
  const states = (p: Params, images: Value): readonly Value[] => {
    const [, , h, w] = images.shape as readonly number[];
    check(
      h === w && h! % vision.imageSize === 0,
      "bad-argument",
      `loss.perceptual: ${name} sees squares of ${vision.imageSize} pixels, and the pictures are ` +
        `${w}x${h}. Set the data's crop or resolution to a multiple of ${vision.imageSize}.`,
    );
    const unit = op.add(op.mul(meanPool(images, h! / vision.imageSize), 0.5), 0.5);
    const normal = op.div(op.sub(unit, channel(mean)), channel(deviation));
    return clipVisionEncoder(p.at("perceptual.vision_model"), vision, normal).layers;
  };
  return {
    frozen: new Map(own.map(([key, tensor]) => [`perceptual.${key}`, tensor])),
    distance: (p, a, b) => featureDistance(states(p, a), states(p, b)),
  };
}
