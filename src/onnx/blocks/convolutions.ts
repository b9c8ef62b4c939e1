import type { Value } from "../../graph/value.js";
import type { Builder } from "../builder.js";
import { STANDARD_PRIMITIVES } from "../primitives.js";
import type { Rule } from "../rules.js";
import { convolve, type Geometry, type Kernel, type Shape4 } from "./convolve.js";
import {
  blocked,
  type Find,
  type Layouts,
  type LooseRules,
  type Named,
  NCHWC,
  named,
  packed,
  plain,
} from "./layouts.js";

/** Rounds channels up to whole blocks. */
const whole = (channels: number, n: number): number => Math.ceil(channels / n) * n;

/** Stride-aware forward convolution of x with any kernel; undefined where no blocked one exists. */
export function forward(
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

/** A convolution's weight, in the orders that it may be wanted in. */
export function kernelOf(b: Builder, at: Layouts, name: string, v: Value): Kernel {
  const w = named(name, v);
  return {
    shape: w.shape as Shape4,
    packed: () => packed(b, at, w, v),
    plain: () => plain(b, at, w, v),
  };
}

const conv2d =
  (find: Find): Rule<"conv2d"> =>
  (b, inputs, v) => {
    const { stride, padding } = v.attrs;
    const at = find(b);
    const tensors = inputs.map((name, i) => named(name, v.inputs[i]!));
    const bias = tensors[2] && plain(b, at, tensors[2]);
    const weight = kernelOf(b, at, inputs[1]!, v.inputs[1]!);
    const geometry = { strides: [stride, stride], pads: padding } as const;
    return (
      forward(b, at, tensors[0]!, weight, bias, geometry) ??
      STANDARD_PRIMITIVES.conv2d(
        b,
        tensors.map((x, i) => plain(b, at, x, v.inputs[i])),
        v,
      )
    );
  };

/** A row for convolutions. */
export function convolutionRules(find: Find): LooseRules {
  const primitives = { conv2d: conv2d(find) };
  return { primitives: primitives as unknown as LooseRules["primitives"], composites: {} };
}
