import { sizeOf } from "../../tensor/tensor.js";
import { MICROSOFT, type Named } from "../blocks/layouts.js";
import type { Builder } from "../builder.js";

/*
 * Gradients of what works on tokens [..., C]: activations, layer norms, attention. Sums over rows and
 * columns are products with a vector, which the engine has its fastest kernels for.
 */

/** x as a matrix of rows [.., C]. */
function rowsOf(b: Builder, { name, shape }: Named): Named {
  const width = shape.at(-1)!;
  const matrix = [sizeOf(shape) / width, width];
  return { name: b.node("Reshape", [name, b.int64(matrix)]), shape: matrix };
}

/** dy (Phi(x) + x phi(x)): the gradient of the exact GELU. */
export function geluGrad(b: Builder, [x, dy]: readonly [string, string]): string {
  const number = (value: number): string => b.floats([], [value]);
  const u = b.node("Mul", [x, number(Math.SQRT1_2)]);
  const bell = b.node("Exp", [b.node("Neg", [b.node("Mul", [u, u])])]);
  const slope = b.node("Mul", [b.node("Mul", [u, bell]), number(2 / Math.sqrt(Math.PI))]);
  const twice = b.node("Add", [b.node("Add", [b.node("Erf", [u]), slope]), number(1)]);
  return b.node("Mul", [b.node("Mul", [twice, dy]), number(0.5)]);
}

/** What a layer norm's gradients share: the normal rows, 1 / deviation, and dy times the former. */
interface Normal {
  readonly rows: Named;
  readonly dy: string;
  readonly normal: string;
  readonly inverse: string;
  readonly product: string;
}

type Once = <T>(key: string, make: () => T) => T;

function normalise(b: Builder, once: Once, x: Named, dy: Named, eps: number): Normal {
  return once(`normal ${x.name} ${dy.name} ${eps}`, () => {
    const [rows, flat] = [rowsOf(b, x), rowsOf(b, dy)];
    const width = rows.shape[1]!;
    const ones = b.floats([width], new Float32Array(width).fill(1));
    const settings = { axis: -1, epsilon: { float: eps } };
    const [normal, , inverse] = b.outputsOf(3, "LayerNormalization", [rows.name, ones], settings);
    const product = b.node("Mul", [flat.name, normal!]);
    return { rows, dy: flat.name, normal: normal!, inverse: inverse!, product };
  });
}

/** dx = r (g - mean(g) - n mean(g n)) with g = dy * weight, the deviation 1/r and normal rows n. */
export function layerNormGrad(
  b: Builder,
  once: Once,
  [x, weight, dy]: readonly [Named, string, Named],
  eps: number,
): string {
  const { rows, dy: flat, normal, inverse, product } = normalise(b, once, x, dy, eps);
  const width = rows.shape[1]!;
  const share = b.node("Mul", [weight, b.floats([], [1 / width])]);
  const column = b.node("Reshape", [share, b.int64([width, 1])]);
  const along = b.node("Mul", [normal, b.node("MatMul", [product, column])]);
  const level = b.node("MatMul", [flat, column]);
  const rest = b.node("Sub", [b.node("Mul", [flat, weight]), along]);
  const dx = b.node("Mul", [b.node("Sub", [rest, level]), inverse]);
  return b.node("Reshape", [dx, b.int64(x.shape)]);
}

/** The gradient of a layer norm's weight: [C]. */
export function layerNormWeightGrad(
  b: Builder,
  once: Once,
  [x, dy]: readonly [Named, Named],
  eps: number,
): string {
  const { rows, product } = normalise(b, once, x, dy, eps);
  const [count, width] = rows.shape as [number, number];
  const ones = b.floats([1, count], new Float32Array(count).fill(1));
  return b.node("Reshape", [b.node("MatMul", [ones, product]), b.int64([width])]);
}

/** Settings of an attention, as its composition has them. */
interface AttentionSpec {
  readonly heads: number;
  readonly scale: number;
  readonly causal: boolean;
}

/** Gradients of attention by q, k and v, all [B,N,C] or [B,M,C]; scores are worked out again. */
export function attentionGrads(
  b: Builder,
  [q, k, v, y, dy]: readonly [Named, Named, Named, Named, Named],
  { heads, scale, causal }: AttentionSpec,
): { readonly q: string; readonly k: string; readonly v: string } {
  const [batch, n, c] = q.shape as [number, number, number];
  const m = k.shape[1]!;
  const depth = c / heads;
  const split = ({ name, shape }: Named): string => {
    const apart = b.node("Reshape", [name, b.int64([batch, shape[1]!, heads, depth])]);
    return b.node("Transpose", [apart], { perm: [0, 2, 1, 3] });
  };
  const join = (name: string, rows: number): string => {
    const together = b.node("Transpose", [name], { perm: [0, 2, 1, 3] });
    return b.node("Reshape", [together, b.int64([batch, rows, c])]);
  };
  const product = (x: string, z: string, settings: Readonly<Record<string, number>>): string =>
    b.node("FusedMatMul", [x, z], { ...settings, alpha: { float: 1 } }, MICROSOFT);
  const scaled = (x: string, z: string, settings: Readonly<Record<string, number>>): string =>
    b.node("FusedMatMul", [x, z], { ...settings, alpha: { float: scale } }, MICROSOFT);
  const [queries, keys, values, outer] = [split(q), split(k), split(v), split(dy)];
  const raw = scaled(queries, keys, { transB: 1 }); // [B,heads,N,M]
  const scores = causal ? b.node("Add", [raw, mask(b, n, m)]) : raw;
  const p = b.node("Softmax", [scores], { axis: -1 });
  const mixed = b.node("Reshape", [
    b.node("Mul", [dy.name, y.name]),
    b.int64([batch * n, heads, depth]),
  ]);
  const sums = b.node("ReduceSum", [mixed, b.int64([2])], { keepdims: 1 });
  const inner = b.node("Transpose", [b.node("Reshape", [sums, b.int64([batch, n, heads, 1])])], {
    perm: [0, 2, 1, 3],
  });
  const dp = product(outer, values, { transB: 1 });
  const ds = b.node("Mul", [b.node("Sub", [dp, inner]), p]);
  return {
    q: join(scaled(ds, keys, {}), n),
    k: join(scaled(ds, queries, { transA: 1 }), m),
    v: join(product(p, outer, { transA: 1 }), m),
  };
}

/** 0 on and below the diagonal, a large negative number above. */
function mask(b: Builder, n: number, m: number): string {
  const hidden = new Float32Array(n * m);
  for (let i = 0; i < n; i++) hidden.fill(-1e9, i * m + i + 1, (i + 1) * m);
  return b.floats([n, m], hidden);
}
