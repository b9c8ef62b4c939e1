import type { Value } from "../../graph/value.js";
import { hasBlocks } from "../../tensor/blocks.js";
import { forward, kernelOf } from "../blocks/convolutions.js";
import type { Kernel, Shape4, Sides } from "../blocks/convolve.js";
import {
  type Find,
  indices,
  type Layouts,
  type LooseRules,
  type Named,
  named,
  plain,
  turnBlocks,
} from "../blocks/layouts.js";
import type { Builder } from "../builder.js";
import { STANDARD_PRIMITIVES } from "../primitives.js";
import type { Rule } from "../rules.js";
import { narrowWeightGrad, rowsWeightGrad, weightGrad } from "./convolutionWeights.js";
import { stridedInputGrad } from "./stridedConvolution.js";

/*
 * Gradients of convolutions as blocked convolutions (see ../blocks/layouts.ts), which run near the
 * processor's peak: dx with the turned kernel, dw with the gradient itself as the kernel.
 */

const isStatic = (...values: readonly Value[]): boolean =>
  values.every((v) => v.shape.every((d) => typeof d === "number"));

/** [O,I,kh,kw] -> [I,O,kh,kw], upside down: what takes dy back to x at stride 1. */
function turnedKernel(b: Builder, at: Layouts, { shape, ...from }: Kernel): Kernel {
  const [o, i, kh, kw] = shape;
  const turned: Shape4 = [i, o, kh, kw];
  return {
    shape: turned,
    packed: () =>
      at.once(`turned ${from.packed()}`, () => {
        const [ob, ib, n] = [o / at.block, i / at.block, at.block];
        const rows = indices(b, at, `turn ${shape}`, [ib * ob * kh * kw], (put) => {
          for (let x = 0; x < ib; x++)
            for (let y = 0; y < ob; y++)
              for (let k = kh * kw - 1; k >= 0; k--) put((y * ib + x) * kh * kw + k);
        });
        const blocks = b.node("Reshape", [from.packed(), b.int64([ob * ib * kh * kw, n * n])]);
        const ordered = b.node("Gather", [blocks, rows], { axis: 0 });
        const back = turnBlocks(b, n, ordered, ob * ib * kh * kw);
        return at.mark(b.node("Reshape", [back, b.int64(turned)]), "weight");
      }),
    plain: () => {
      const swapped = b.node("Transpose", [from.plain()], { perm: [1, 0, 2, 3] });
      const flat = b.node("Reshape", [swapped, b.int64([i * o, kh * kw])]);
      const rows = indices(b, at, `flip ${kh * kw}`, [kh * kw], (put) => {
        for (let k = kh * kw - 1; k >= 0; k--) put(k);
      });
      const flipped = b.node("Gather", [flat, rows], { axis: 1 });
      return b.node("Reshape", [flipped, b.int64(turned)]);
    },
  };
}

const conv2dInputGrad =
  (find: Find): Rule<"conv2dInputGrad"> =>
  (b, inputs, v) => {
    const at = find(b);
    const { stride, padding } = v.attrs;
    const [dy, w] = inputs.map((name, i) => named(name, v.inputs[i]!)) as [Named, Named];
    const blocked = (): string | undefined => {
      const weight = kernelOf(b, at, w.name, v.inputs[1]!);
      const shape = v.shape as unknown as Shape4;
      if (stride > 1) return stridedInputGrad(b, at, dy, weight, shape, stride, padding);
      const [, , kh, kw] = weight.shape;
      const [top, left] = [kh - 1 - padding[0], kw - 1 - padding[1]];
      const bottom = shape[2] - dy.shape[2]! + kh - 1 - top;
      const right = shape[3] - dy.shape[3]! + kw - 1 - left;
      if (Math.min(top, left, bottom, right) < 0) return undefined;
      const pads: Sides = [top, left, bottom, right];
      return forward(b, at, dy, turnedKernel(b, at, weight), undefined, { pads });
    };
    return (
      (isStatic(v, ...v.inputs) ? blocked() : undefined) ??
      STANDARD_PRIMITIVES.conv2dInputGrad(b, [plain(b, at, dy), plain(b, at, w, v.inputs[1])], v)
    );
  };

const conv2dWeightGrad =
  (find: Find): Rule<"conv2dWeightGrad"> =>
  (b, inputs, v) => {
    const at = find(b);
    const { stride, padding } = v.attrs;
    const [x, dy] = inputs.map((name, i) => named(name, v.inputs[i]!)) as [Named, Named];
    const shape = v.shape as unknown as Shape4;
    if (!isStatic(v, ...v.inputs)) {
      return STANDARD_PRIMITIVES.conv2dWeightGrad(b, [plain(b, at, x), plain(b, at, dy)], v);
    }
    if (hasBlocks(dy.shape, at.block)) return weightGrad(b, at, x, dy, shape, stride, padding);
    return stride === 1 && hasBlocks(x.shape, at.block)
      ? narrowWeightGrad(b, at, x, dy, shape, padding)
      : rowsWeightGrad(b, at, x, dy, shape, stride, padding);
  };

/** Rows for gradients of convolutions. */
export function convolutionGradRules(find: Find): LooseRules {
  const rules = {
    conv2dInputGrad: conv2dInputGrad(find),
    conv2dWeightGrad: conv2dWeightGrad(find),
  };
  return { primitives: rules as unknown as LooseRules["primitives"], composites: {} };
}
