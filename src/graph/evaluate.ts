import { invariant } from "../util/errors.js";
import { type Bindings, bindShape, evaluateDim, showShape } from "./dim.js";
import { isOp, type Primitive, type PrimitiveAttrs, topological, type Value } from "./value.js";

/*
 * The slow evaluator: float64, plain loops, every rule as close to its definition as it can be
 * written. It is the oracle that engines are tested against.
 */

/** A dense float64 array on the host, row-major. Integers and booleans are numbers too. */
export interface Array64 {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

/** What a graph needs to be evaluated: fed inputs and weights, by name. */
export interface Environment {
  readonly inputs: Readonly<Record<string, Array64>>;
  readonly params: (name: string) => Array64;
}

type Rule<P extends Primitive> = (
  v: Value<P>,
  inputs: readonly Array64[],
  shape: readonly number[],
) => Float64Array;

const sizeOf = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);

function stridesOf(shape: readonly number[]): number[] {
  const strides = shape.map(() => 1);
  for (let i = shape.length - 2; i >= 0; i--) strides[i] = strides[i + 1]! * shape[i + 1]!;
  return strides;
}

/** Calls `visit` with every index of `shape` in row-major order; the index array is reused. */
function forEachIndex(
  shape: readonly number[],
  visit: (index: readonly number[], at: number) => void,
): void {
  const index = shape.map(() => 0);
  for (let at = 0; at < sizeOf(shape); at++) {
    visit(index, at);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      if (++index[axis]! < shape[axis]!) break;
      index[axis] = 0;
    }
  }
}

/** Reads `a` as if it had been broadcast to the rank of `index`. */
function broadcastReader(a: Array64): (index: readonly number[]) => number {
  const strides = stridesOf(a.shape).map((s, i) => (a.shape[i] === 1 ? 0 : s));
  return (index) => {
    const skip = index.length - strides.length;
    let at = 0;
    for (let i = 0; i < strides.length; i++) at += strides[i]! * index[skip + i]!;
    return a.data[at]!;
  };
}

/** A result that reads its inputs at one index at a time. */
function gatherEach(
  shape: readonly number[],
  read: (index: readonly number[]) => number,
): Float64Array {
  const out = new Float64Array(sizeOf(shape));
  forEachIndex(shape, (index, at) => {
    out[at] = read(index);
  });
  return out;
}

function unary<P extends Primitive>(f: (x: number) => number): Rule<P> {
  return (_, [x]) => x!.data.map(f);
}

function elementwise<P extends Primitive>(f: (...xs: number[]) => number): Rule<P> {
  return (_, inputs, shape) => {
    const readers = inputs.map(broadcastReader);
    return gatherEach(shape, (index) => f(...readers.map((read) => read(index))));
  };
}

function reduction<P extends Primitive>(
  start: number,
  f: (acc: number, x: number) => number,
): Rule<P> {
  return (_, [x], shape) => {
    const out = new Float64Array(sizeOf(shape)).fill(start);
    const strides = stridesOf(shape).map((s, i) => (shape[i] === 1 ? 0 : s));
    forEachIndex(x!.shape, (index, at) => {
      const to = index.reduce((n, k, i) => n + k * strides[i]!, 0);
      out[to] = f(out[to]!, x!.data[at]!);
    });
    return out;
  };
}

/** erf(x) to 1e-15: a series of positive terms near zero, the fraction of erfc (Lentz) further out. */
export function erf(x: number): number {
  const a = Math.abs(x);
  const scale = Math.exp(-a * a) / Math.sqrt(Math.PI);
  if (a < 2.5) {
    let term = a;
    let total = a;
    for (let n = 1; term > 1e-17 * total; n++) {
      term *= (2 * a * a) / (2 * n + 1);
      total += term;
    }
    return Math.sign(x) * 2 * scale * total;
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (a + fraction);
  return Math.sign(x) * (1 - scale / (a + fraction));
}

const conv2d: Rule<"conv2d"> = (v, [x, weight, bias], shape) => {
  const { stride, padding } = v.attrs;
  const [, channels, height, width] = x!.shape as [number, number, number, number];
  const [, , kh, kw] = weight!.shape as [number, number, number, number];
  return gatherEach(shape, ([b, o, i, j]) => {
    let total = bias ? bias.data[o!]! : 0;
    for (let c = 0; c < channels; c++) {
      for (let p = 0; p < kh; p++) {
        const y = i! * stride + p - padding[0];
        if (y < 0 || y >= height) continue;
        for (let q = 0; q < kw; q++) {
          const z = j! * stride + q - padding[1];
          if (z < 0 || z >= width) continue;
          total +=
            x!.data[((b! * channels + c) * height + y) * width + z]! *
            weight!.data[((o! * channels + c) * kh + p) * kw + q]!;
        }
      }
    }
    return total;
  });
};

/** Visits each product of `conv2d`: positions in y, x and the weight, all row-major. */
function forEachTap(
  { stride, padding }: PrimitiveAttrs["conv2d"],
  x: readonly number[],
  weight: readonly number[],
  y: readonly number[],
  visit: (y: number, x: number, weight: number) => void,
): void {
  const [, channels, height, width] = x as [number, number, number, number];
  const [, , kh, kw] = weight as [number, number, number, number];
  forEachIndex(y, ([b, o, i, j], at) => {
    forEachIndex([channels, kh, kw], ([c, p, q], tap) => {
      const [row, column] = [i! * stride + p! - padding[0], j! * stride + q! - padding[1]];
      if (row < 0 || row >= height || column < 0 || column >= width) return;
      visit(
        at,
        ((b! * channels + c!) * height + row) * width + column,
        o! * channels * kh * kw + tap,
      );
    });
  });
}

const conv2dInputGrad: Rule<"conv2dInputGrad"> = (v, [dy, weight], shape) => {
  const out = new Float64Array(sizeOf(shape));
  forEachTap(v.attrs, shape, weight!.shape, dy!.shape, (y, x, w) => {
    out[x]! += dy!.data[y]! * weight!.data[w]!;
  });
  return out;
};

const conv2dWeightGrad: Rule<"conv2dWeightGrad"> = (v, [x, dy], shape) => {
  const out = new Float64Array(sizeOf(shape));
  forEachTap(v.attrs, x!.shape, shape, dy!.shape, (y, at, w) => {
    out[w]! += dy!.data[y]! * x!.data[at]!;
  });
  return out;
};

const matmul: Rule<"matmul"> = (v, [a, b], shape) => {
  const readA = broadcastReader(a!);
  const readB = broadcastReader(b!);
  const { transA, transB } = v.attrs;
  const inner = a!.shape.at(transA ? -2 : -1)!;
  return gatherEach(shape, (index) => {
    const [row, column] = index.slice(-2) as [number, number];
    const batch = index.slice(0, -2);
    let total = 0;
    for (let k = 0; k < inner; k++) {
      total +=
        readA([...batch, ...(transA ? [k, row] : [row, k])]) *
        readB([...batch, ...(transB ? [column, k] : [k, column])]);
    }
    return total;
  });
};

const concat: Rule<"concat"> = (v, inputs, shape) => {
  const { axis } = v.attrs;
  const readers = inputs.map(broadcastReader);
  return gatherEach(shape, (index) => {
    const at = [...index];
    let which = 0;
    while (at[axis]! >= inputs[which]!.shape[axis]!) at[axis]! -= inputs[which++]!.shape[axis]!;
    return inputs[which]!.shape[axis] === 1 ? readOne(inputs[which]!, at) : readers[which]!(at);
  });
};

/** Reads without broadcasting. */
function readOne(a: Array64, index: readonly number[]): number {
  const strides = stridesOf(a.shape);
  return a.data[index.reduce((n, k, i) => n + k * strides[i]!, 0)]!;
}

const never = (v: Value): Float64Array => {
  throw new Error(`internal: ${v.op} is not evaluated by a rule`);
};

const RULES: { readonly [P in Primitive]: Rule<P> } = {
  input: never,
  param: never,
  composite: never,
  constant: (v) => Float64Array.from(v.attrs.data),

  neg: unary((x) => -x),
  abs: unary(Math.abs),
  exp: unary(Math.exp),
  log: unary(Math.log),
  sqrt: unary(Math.sqrt),
  sin: unary(Math.sin),
  cos: unary(Math.cos),
  tanh: unary(Math.tanh),
  sigmoid: unary((x) => 1 / (1 + Math.exp(-x))),
  erf: unary(erf),

  add: elementwise((a, b) => a! + b!),
  sub: elementwise((a, b) => a! - b!),
  mul: elementwise((a, b) => a! * b!),
  div: elementwise((a, b) => a! / b!),
  max: elementwise((a, b) => Math.max(a!, b!)),
  min: elementwise((a, b) => Math.min(a!, b!)),
  equal: elementwise((a, b) => (a === b ? 1 : 0)),
  less: elementwise((a, b) => (a! < b! ? 1 : 0)),
  where: elementwise((condition, a, b) => (condition !== 0 ? a! : b!)),

  sum: reduction(0, (a, x) => a + x),
  reduceMax: reduction(Number.NEGATIVE_INFINITY, Math.max),

  reshape: (_, [x]) => x!.data,
  transpose: (v, [x], shape) =>
    gatherEach(shape, (index) => {
      const from = [...index];
      v.attrs.perm.forEach((p, i) => {
        from[p] = index[i]!;
      });
      return readOne(x!, from);
    }),
  expand: elementwise((x) => x!),
  slice: (v, [x], shape) =>
    gatherEach(shape, (index) =>
      readOne(
        x!,
        index.map((k, i) => (i === v.attrs.axis ? k + v.attrs.start : k)),
      ),
    ),
  concat,
  pad: (v, [x], shape) =>
    gatherEach(shape, (index) => {
      const from = index.map((k, i) => k - v.attrs.pads[i]![0]);
      return from.every((k, i) => k >= 0 && k < x!.shape[i]!) ? readOne(x!, from) : 0;
    }),
  gather: (_, [table, indices], shape) => {
    const row = sizeOf(table!.shape.slice(1));
    const out = new Float64Array(sizeOf(shape));
    indices!.data.forEach((n, i) => {
      out.set(table!.data.subarray(n * row, (n + 1) * row), i * row);
    });
    return out;
  },
  scatterRows: (_, [rows, indices], shape) => {
    const row = sizeOf(shape.slice(1));
    const out = new Float64Array(sizeOf(shape));
    indices!.data.forEach((n, i) => {
      for (let k = 0; k < row; k++) out[n * row + k]! += rows!.data[i * row + k]!;
    });
    return out;
  },

  matmul,
  conv2d,
  conv2dInputGrad,
  conv2dWeightGrad,
  resizeNearest: (_, [x], shape) => {
    const [, , height, width] = x!.shape as [number, number, number, number];
    return gatherEach(shape, ([b, c, i, j]) =>
      readOne(x!, [
        b!,
        c!,
        Math.floor((i! * height) / shape[2]!),
        Math.floor((j! * width) / shape[3]!),
      ]),
    );
  },
  sumPool: (v, [x], shape) => {
    const { factor } = v.attrs;
    const out = new Float64Array(sizeOf(shape));
    const [, channels, height, width] = shape as [number, number, number, number];
    forEachIndex(x!.shape, ([b, c, i, j], at) => {
      const row = (b! * channels + c!) * height + Math.floor(i! / factor);
      out[row * width + Math.floor(j! / factor)]! += x!.data[at]!;
    });
    return out;
  },
  detach: (_, [x]) => x!.data,
};

/** Binds every symbol of the graph from the arrays that are fed. */
function bindInputs(order: readonly Value[], env: Environment): Bindings {
  const bindings: Record<string, number> = {};
  for (const v of order) {
    if (!isOp(v, "input")) continue;
    const fed = env.inputs[v.attrs.name];
    invariant(fed !== undefined, `evaluate: input "${v.attrs.name}" is missing`);
    invariant(
      bindShape(v.shape, fed.shape, bindings),
      `evaluate: input "${v.attrs.name}" is [${fed.shape}], expected ${showShape(v.shape)}`,
    );
  }
  return bindings;
}

/** The values of `outputs` in float64. */
export function evaluate(outputs: readonly Value[], env: Environment): Array64[] {
  const insides = (v: Value): readonly Value[] =>
    isOp(v, "composite") ? [v.attrs.expansion] : v.inputs;
  const order = topological(outputs, insides);
  const bindings = bindInputs(order, env);
  const results = new Map<Value, Array64>();
  for (const v of order) {
    if (isOp(v, "composite")) results.set(v, results.get(v.attrs.expansion)!);
    else if (isOp(v, "input")) results.set(v, env.inputs[v.attrs.name]!);
    else if (isOp(v, "param")) results.set(v, env.params(v.attrs.name));
    else {
      const shape = v.shape.map((d) => evaluateDim(d, bindings));
      const inputs = v.inputs.map((x) => results.get(x)!);
      results.set(v, { shape, data: (RULES[v.op] as Rule<Primitive>)(v, inputs, shape) });
    }
  }
  return outputs.map((v) => results.get(v)!);
}
