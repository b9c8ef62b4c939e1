import type { Value } from "../graph/value.js";
import type { CompositeRule } from "./rules.js";

/*
 * Layers in 8 bits on a CPU: products of whole numbers, several times as fast as those of floats. What
 * goes in is measured and rounded in each run; weights are rounded once.
 */

const MICROSOFT = "com.microsoft";

/** Beyond any sum of products that a convolution can hold beside its bias. */
const LARGEST_BIAS = 2 ** 30;

/** The zero of results, which are as often below it as above. */
const MIDDLE = 128;

/** One operator rounds x, multiplies, and gives floats back. */
export const int8Linear: CompositeRule<"int8Linear"> = (b, [x, , scale, bias], v) => {
  const inputs = [x!, stored(v, 1), scale!, "", ...(bias === undefined ? [] : [bias])];
  return b.node("DynamicQuantizeMatMul", inputs, {}, MICROSOFT);
};

/**
 * x is rounded to its own extremes. A result of channel o is a whole number of range[o] / 127: to the
 * convolution that is a scale of its weights, so that every channel has all 8 bits to itself.
 */
export const int8Conv2d: CompositeRule<"int8Conv2d"> = (b, inputs, v, { stride, padding }) => {
  const [x, , scale, bias, range] = inputs as readonly string[];
  const channels = v.shape[1] as number;
  const [rounded, unit, zero] = b.outputsOf(3, "DynamicQuantizeLinear", [x!]);
  const resultUnit = b.node("Mul", [range!, b.floats([], [1 / 127])]);
  const limit = [b.floats([], [-LARGEST_BIAS]), b.floats([], [LARGEST_BIAS])];
  const inUnits = b.node("Div", [b.node("Div", [bias!, scale!]), unit!]);
  const added = b.cast(b.node("Clip", [b.node("Round", [inUnits]), ...limit]), "i32");
  const convolved = b.node(
    "QLinearConv",
    [
      ...[rounded!, unit!, zero!],
      ...[stored(v, 1), b.node("Div", [scale!, resultUnit]), b.bytes([], new Int8Array(1))],
      ...[b.floats([], [1]), b.bytes([], Uint8Array.of(MIDDLE)), added],
    ],
    {
      kernel_shape: v.inputs[1]!.shape.slice(2) as number[],
      strides: [stride, stride],
      pads: padding,
    },
  );
  const middles = b.bytes([channels], new Uint8Array(channels).fill(MIDDLE));
  return b.node("DequantizeLinear", [convolved, resultUnit, middles], { axis: 1 });
};

/** The name of an operand as it is stored, in 8 bits. */
function stored(v: Value<"composite">, operand: number): string {
  return (v.inputs[operand] as Value<"param">).attrs.name;
}
