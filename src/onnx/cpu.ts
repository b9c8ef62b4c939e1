import { type Dim, dimProduct } from "../graph/dim.js";
import { int8Conv2d, int8Linear, int8Peak } from "./int8.js";
import { STANDARD_PRIMITIVES } from "./primitives.js";
import type { CompositeRule, LoweringRules } from "./rules.js";

const MICROSOFT = "com.microsoft";

/** Gemm, which adds the bias as it goes; x is flattened to a matrix, which costs nothing. */
const linear: CompositeRule<"linear"> = (b, [x, weight, bias], v) => {
  const from = v.inputs[0]!.shape;
  const [inner, outer] = [from.at(-1)!, v.shape.at(-1)!];
  const rows: Dim = dimProduct(from.slice(0, -1));
  const flat = from.length === 2 ? x! : b.node("Reshape", [x!, b.int64([-1, inner as number])]);
  const inputs = bias === undefined ? [flat, weight!] : [flat, weight!, bias];
  const product = b.node("Gemm", inputs, { transB: 1 });
  return from.length === 2 ? product : b.reshape(product, [rows, outer], v.shape);
};

/** InstanceNormalization over the groups, then scale and shift by channel. */
const groupNorm: CompositeRule<"groupNorm"> = (b, [x, weight, bias], v, { groups, eps }) => {
  const shape = v.inputs[0]!.shape;
  const grouped = b.node("Reshape", [x!, b.int64([0, groups, -1])]);
  const ones = b.floats([groups], new Float32Array(groups).fill(1));
  const zeros = b.floats([groups], new Float32Array(groups));
  const normal = b.node("InstanceNormalization", [grouped, ones, zeros], {
    epsilon: { float: eps },
  });
  const pixels = b.node("Reshape", [normal, b.shape(shape)]);
  const channel = b.int64([-1, ...shape.slice(2).map(() => 1)]);
  const scaled = b.node("Mul", [pixels, b.node("Reshape", [weight!, channel])]);
  return b.node("Add", [scaled, b.node("Reshape", [bias!, channel])]);
};

/** Rows for ONNX Runtime's CPU provider, with its fused kernels. */
export const CPU_RULES: LoweringRules = {
  primitives: STANDARD_PRIMITIVES,
  composites: {
    softmax: (b, [x]) => b.node("Softmax", [x!], { axis: -1 }),
    silu: (b, [x]) => b.node("QuickGelu", [x!], { alpha: { float: 1 } }, MICROSOFT),
    gelu: (b, [x]) => b.node("Gelu", [x!], {}, MICROSOFT),
    quickGelu: (b, [x]) => b.node("QuickGelu", [x!], { alpha: { float: 1.702 } }, MICROSOFT),
    linear,
    int8Linear,
    int8Conv2d,
    int8Peak,
    layerNorm: (b, inputs, _, { eps }) =>
      b.node("LayerNormalization", inputs, { axis: -1, epsilon: { float: eps } }),
    groupNorm,
    attention: (b, inputs, _, { heads, scale, causal }) =>
      b.node(
        "MultiHeadAttention",
        inputs,
        { num_heads: heads, scale: { float: scale }, unidirectional: causal ? 1 : 0 },
        MICROSOFT,
      ),
  },
};
