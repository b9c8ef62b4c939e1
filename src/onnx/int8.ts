import { isOp, type Value } from "../graph/value.js";
import type { Builder } from "./builder.js";
import type { CompositeRule } from "./rules.js";

/*
 * Layers in 8 bits on a CPU: products of whole numbers, several times as fast as those of floats. What
 * goes in is measured and rounded in each run; weights are rounded once.
 */

const MICROSOFT = "com.microsoft";

/** The zero of results, which are as often below it as above. */
const MIDDLE = 128;

/** x is rounded to its own extremes, once for all layers that take it; products are floats at once. */
export const int8Linear: CompositeRule<"int8Linear"> = (b, [x, , scale, bias], v) => {
  const [rounded, unit, zero] = b.sharedOutputsOf(3, "DynamicQuantizeLinear", [x!]);
  const weight = [stored(v, 1), unit!, scale!, zero!];
  const inputs = [rounded!, ...weight, "", ...(bias === undefined ? [] : [bias])];
  return b.node("MatMulIntegerToFloat", inputs, {}, MICROSOFT);
};

/** The zero of what SiLU gives, which is never below -0.2785: enough units wherever it reaches 4. */
const SILU_ZERO = 16;

/**
 * x in units that its extremes fit. The zero is a constant, since convolutions whose zero is not known
 * beforehand take half as long again.
 */
function round(
  b: Builder,
  x: string,
  v: Value,
): { readonly rounded: string; readonly unit: string; readonly zero: string } {
  const isSilu = isOp(v, "composite") && v.attrs.name === "silu";
  const middle = isSilu ? SILU_ZERO : MIDDLE;
  const [, range, offset] = b.outputsOf(3, "DynamicQuantizeLinear", [x]);
  const below = b.cast(offset!, "f32");
  const above = b.node("Sub", [b.floats([], [255]), below]);
  const part = (units: string, of: number): string =>
    b.node("Mul", [b.node("Mul", [range!, b.floats([], [1 / of])]), units]);
  const unit = b.node("Max", [part(above, 255 - middle), part(below, middle)]);
  const zero = b.bytes([], Uint8Array.of(middle));
  return { rounded: b.node("QuantizeLinear", [x, unit, zero]), unit, zero };
}

/**
 * x is rounded to its own extremes. A result of channel o is a whole number of units[o], about
 * range[o] / 127: to the convolution that is a scale of its weights, so that every channel has all 8 bits
 * to itself.
 */
export const int8Conv2d: CompositeRule<"int8Conv2d"> = (b, inputs, v, { stride, padding }) => {
  const [x, , scale, bias, range] = inputs as readonly string[];
  const { rounded, unit, zero } = round(b, x!, v.inputs[0]!);
  const { units, zeros } = results(b, bias!, range!);
  const noOffset = b.bytes([], new Int8Array(1));
  const convolved = b.node(
    "QLinearConv",
    [
      ...[rounded, unit, zero],
      ...[stored(v, 1), b.node("Div", [scale!, units]), noOffset],
      ...[b.floats([], [1]), b.bytes([], Uint8Array.of(MIDDLE))],
    ],
    {
      kernel_shape: v.inputs[1]!.shape.slice(2) as number[],
      strides: [stride, stride],
      pads: padding,
    },
  );
  // Rows of pixels keep the engine from turning results to channels last, where units of single
  // channels cost it six times as long.
  const rows = b.node("Reshape", [convolved, b.int64([0, 0, -1])]);
  const told = isOp(v.inputs[RANGE]!, "param") ? units : watched(b, rows, units);
  const floats = b.node("DequantizeLinear", [rows, told, zeros], { axis: 1 });
  return b.node("Reshape", [floats, b.shape(v.shape)]);
};

/** Where the ranges are among the operands of a convolution. */
const RANGE = 4;

/**
 * The units again. Ranges that are fed may be too small, so that the largest magnitudes of results are
 * worked out, from whole numbers, of which that takes no time. The units then depend on them: what
 * nothing waits for the engine would put off, and hold on to all results until the end.
 */
function watched(b: Builder, rows: string, units: string): string {
  const extreme = (opType: string): string =>
    b.cast(b.node(opType, [rows, b.int64([0, 2])], { keepdims: 0 }), "f32");
  const middle = b.floats([], [MIDDLE]);
  const above = b.node("Sub", [extreme("ReduceMax"), middle]);
  const below = b.node("Sub", [middle, extreme("ReduceMin")]);
  const peaks = b.node("Mul", [b.node("Max", [above, below]), units]);
  return b.node("Add", [units, b.node("Mul", [peaks, b.floats([], [0])])]);
}

/** What `watched` has worked out on the way to a result. */
export const int8Peak: CompositeRule<"int8Peak"> = (b, [result]) => {
  const maker = (name: string) => b.nodes.find(({ outputs }) => outputs[0] === name)!;
  const floats = maker(maker(result!).inputs[0]!);
  const nothing = maker(maker(floats.inputs[1]!).inputs[1]!);
  return nothing.inputs[0]!;
};

/**
 * How the results of each channel are to be read. The bias is where they have their zero, a whole number
 * of units, and costs nothing there; as an operand its units would change from run to run, and a
 * convolution that does not know its bias beforehand takes half as long again. So units are a little
 * larger than the range asks for, to divide the bias, and one that is below a unit is rounded.
 */
function results(
  b: Builder,
  bias: string,
  range: string,
): { readonly units: string; readonly zeros: string } {
  const one = b.floats([], [1]);
  const size = b.node("Abs", [bias]);
  // At most 127 units from the bias to zero, and never none: nothing divides by 0.
  const least = b.node("Max", [range, size, b.floats([], [1e-20])]);
  const unit = b.node("Mul", [least, b.floats([], [1 / 127])]);
  const whole = b.node("Floor", [b.node("Div", [size, unit])]);
  const dividing = b.node("Div", [size, b.node("Max", [whole, one])]);
  const isSmall = b.node("Less", [whole, one]);
  const units = b.node("Where", [isSmall, unit, dividing]);
  const away = b.node("Round", [b.node("Div", [bias, units])]);
  const zeros = b.node("Sub", [b.floats([], [MIDDLE]), away]);
  return { units, zeros: b.cast(zeros, "u8") };
}

/** The name of an operand as it is stored, in 8 bits. */
function stored(v: Value<"composite">, operand: number): string {
  return (v.inputs[operand] as Value<"param">).attrs.name;
}
