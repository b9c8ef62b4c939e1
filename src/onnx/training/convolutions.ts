import type { Value } from "../../graph/value.js";
import type { Builder } from "../builder.js";
import { STANDARD_PRIMITIVES } from "../primitives.js";
import type { Rule } from "../rules.js";
import { narrowWeightGrad, rowsWeightGrad, weightGrad } from "./convolutionWeights.js";
import { convolve, type Geometry, type Kernel, type Shape4, type Sides } from "./convolve.js";
import {
  blocked,
  type Find,
  hasBlocks,
  indices,
  type Layouts,
  type LooseRules,
  type Named,
  NCHWC,
  named,
  packed,
  plain,
  turnBlocks,
} from "./layouts.js";
import { stridedInputGrad } from "./stridedConvolution.js";

/*
 * Convolutions and their gradients as blocked convolutions (see layouts.ts), which run near the
 * processor's peak: dx with the turned kernel, dw with the gradient itself as the kernel.
 */

/** Rounds channels up to whole blocks. */
const whole = (channels: number, n: number): number => Math.ceil(channels / n) * n;

/** Stride-aware forward convolution of x with any kernel; undefined where no blocked one exists. */
function forward(
  b: Builder,
  at: Layouts,
  x: Named,
  weight: Kernel,
  bias: string | undefined,
  geometry: Omit<Geometry, "kernel">,
): string | undefined {
  const n = at.block;
  const [o, i, kh, kw] = weight.shape;
  const g: Geometry = { ...geometry, kernel: [kh, kw] };
  const biases = bias === undefined ? [] : [bias];
  if (i % n === 0 && o % n === 0) {
    const y = convolve(b, [blocked(b, at, x), weight.packed(), ...biases], g);
    return at.mark(y, "picture");
  }
  if (i < n && o % n === 0) {
    // Few channels, such as pixels or latents: row-major pictures, weights [O/16, I, kh, kw, 16].
    const rows = b.node("Reshape", [weight.plain(), b.int64([o / n, n, i * kh * kw])]);
    const turned = b.node("Transpose", [rows], { perm: [0, 2, 1] });
    const shaped = b.node("Reshape", [turned, b.int64(weight.shape)]);
    return at.mark(convolve(b, [plain(b, at, x), shaped, ...biases], g), "picture");
  }
  if (i % n === 0 && o < n) {
    // Zero channels are computed and left out again.
    const more = whole(o, n) - o;
    const pad = (name: string, rank: number): string =>
      b.node("Pad", [
        name,
        b.int64(Array.from({ length: 2 * rank }, (_, k) => (k === rank ? more : 0))),
      ]);
    const name = pad(weight.plain(), 4);
    const full = packed(b, at, { name, shape: [o + more, i, kh, kw] });
    const y = convolve(b, [blocked(b, at, x), full, ...biases.map((t) => pad(t, 1))], g);
    return b.node("ReorderOutput", [y], { channels: o }, NCHWC);
  }
  return undefined;
}

const isStatic = (...values: readonly Value[]): boolean =>
  values.every((v) => v.shape.every((d) => typeof d === "number"));

function kernelOf(b: Builder, at: Layouts, name: string, v: Value): Kernel {
  const w = named(name, v);
  return {
    shape: w.shape as Shape4,
    packed: () => packed(b, at, w, v),
    plain: () => plain(b, at, w, v),
  };
}

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

const conv2d =
  (find: Find): Rule<"conv2d"> =>
  (b, inputs, v) => {
    const { stride, padding } = v.attrs;
    const at = find(b);
    const tensors = inputs.map((name, i) => named(name, v.inputs[i]!));
    const bias = tensors[2] && plain(b, at, tensors[2]);
    const geometry = { strides: [stride, stride], pads: padding } as const;
    const blocked = (): string | undefined =>
      forward(b, at, tensors[0]!, kernelOf(b, at, inputs[1]!, v.inputs[1]!), bias, geometry);
    return (
      (isStatic(v, ...v.inputs) ? blocked() : undefined) ??
      STANDARD_PRIMITIVES.conv2d(
        b,
        tensors.map((x, i) => plain(b, at, x, v.inputs[i])),
        v,
      )
    );
  };

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

/** Rows for convolutions and their gradients. */
export function convolutionRules(find: Find): LooseRules {
  const rules = {
    conv2d: conv2d(find),
    conv2dInputGrad: conv2dInputGrad(find),
    conv2dWeightGrad: conv2dWeightGrad(find),
  };
  return { primitives: rules as unknown as LooseRules["primitives"], composites: {} };
}
