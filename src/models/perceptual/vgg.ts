import * as op from "../../graph/ops.js";
import type { Value } from "../../graph/value.js";
import type { Params } from "../../nn/params.js";

/** Channels of the convolutions of each stage; a max pooling stands between two stages. */
const STAGES: readonly (readonly number[])[] = [
  [64, 64],
  [128, 128],
  [256, 256, 256],
  [512, 512, 512],
  [512, 512, 512],
];

/**
 * The last activations of each of VGG16's stages: images [B,3,H,W], normalised -> five [B,C,h,w].
 * Source: Simonyan & Zisserman 2015, configuration D; torchvision's vgg16, whose keys these are.
 */
export function vgg16Features(p: Params, images: Value): readonly Value[] {
  const found: Value[] = [];
  let h = images;
  let at = 0;
  for (const [stage, widths] of STAGES.entries()) {
    if (stage > 0) {
      h = maxPool(h);
      at++;
    }
    for (const width of widths) {
      h = op.max(conv(p.at("features").at(at), h, width), 0);
      at += 2;
    }
    found.push(h);
  }
  return found;
}

function conv(p: Params, x: Value, outChannels: number): Value {
  const inChannels = x.shape[1] as number;
  const none = { kind: "constant", value: 0 } as const; // it is never trained here
  const weight = p.get("weight", [outChannels, inChannels, 3, 3], none);
  return op.conv2d(x, weight, p.get("bias", [outChannels], none), { padding: 1 });
}

/** The most of each 2x2 cell; a last odd row or column is left out. */
function maxPool(x: Value): Value {
  const [b, c, h, w] = x.shape as readonly [number, number, number, number];
  const [rows, columns] = [Math.floor(h / 2), Math.floor(w / 2)];
  const even = op.slice(op.slice(x, 2, 0, 2 * rows), 3, 0, 2 * columns);
  const cells = op.reshape(even, [b, c, rows, 2, columns, 2]);
  return op.reshape(op.reduceMax(cells, [3, 5]), [b, c, rows, columns]);
}
