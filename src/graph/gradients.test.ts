import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { attentionGradient } from "./compositeGradients.js";
import * as composite from "./composites.js";
import { type Array64, evaluate } from "./evaluate.js";
import { grad } from "./grad.js";
import * as op from "./ops.js";
import type { Primitive, Value } from "./value.js";

/*
 * Every rule against central differences in float64, and the rules of what the rules wrote.
 */

type Shape = readonly number[];

/** A function of values, the shapes it is tried at, and where its inputs are drawn from. */
interface Case {
  readonly f: (...xs: Value[]) => Value;
  readonly shapes: readonly Shape[];
  readonly range?: readonly [number, number];
}

/** Numbers in [low, high) that look random and are the same everywhere. */
function drawn(shape: Shape, seed: number, [low, high]: readonly [number, number]): Array64 {
  let state = (seed * 7919 + 17) % 2147483647;
  const size = shape.reduce((n, d) => n * d, 1);
  const next = (): number => {
    state = (state * 48271) % 2147483647;
    return low + ((high - low) * state) / 2147483647;
  };
  for (let i = 0; i < 8; i++) next();
  return { shape, data: Float64Array.from({ length: size }, next) };
}

/** sum(y * c) for fixed random numbers c: a loss whose gradient by y is different everywhere. */
function weighted(y: Value, seed: number): Value {
  const shape = y.shape as Shape;
  const c = op.constant(shape, [...drawn(shape, seed, [-1, 1]).data]);
  const products = op.mul(y, c);
  return op.reshape(
    op.sum(
      products,
      shape.map((_, i) => i),
    ),
    [],
  );
}

function run(outputs: readonly Value[], fed: readonly Array64[]): Float64Array[] {
  const inputs = Object.fromEntries(fed.map((a, i) => [`x${i}`, a]));
  return evaluate(outputs, { inputs, params: () => expect.unreachable() }).map((a) => a.data);
}

/** (loss(x + h) - loss(x - h)) / 2h for every number of every input. */
function differences(loss: Value, fed: readonly Array64[]): number[] {
  const h = 1e-5;
  return fed.flatMap(({ data }) =>
    [...data.keys()].map((i) => {
      const x = data[i]!;
      const at = (moved: number): number => {
        data[i] = moved;
        return run([loss], fed)[0]![0]!;
      };
      const slope = (at(x + h) - at(x - h)) / (2 * h);
      data[i] = x;
      return slope;
    }),
  );
}

/** Compares gradients of a loss, and gradients of a sum of these gradients, with differences. */
function check({ f, shapes, range = [-2, 2] }: Case, seed = 1): void {
  const xs = shapes.map((shape, i) => op.input(`x${i}`, shape));
  const fed = shapes.map((shape, i) => drawn(shape, seed * 31 + i, range));
  let loss = weighted(f(...xs), seed + 100);
  for (const order of ["first", "second"]) {
    const gradients = grad(loss, xs);
    for (const [i, g] of gradients.entries()) expect(g.shape).toEqual(shapes[i]);
    const got = run(gradients, fed).flatMap((data) => [...data]);
    const want = differences(loss, fed);
    const scale = Math.max(1, ...want.map(Math.abs));
    const worst = Math.max(...want.map((w, i) => Math.abs(w - got[i]!)));
    expect(worst / scale, `${order} order, seed ${seed}`).toBeLessThan(2e-8);
    loss = gradients.map((g, i) => weighted(g, seed + 200 + i)).reduce((a, b) => op.add(a, b));
  }
}

const indices = (shape: Shape, ...numbers: readonly number[]): Value =>
  op.constant(shape, numbers, "int");
const unary = (f: (x: Value) => Value, range?: readonly [number, number]): readonly Case[] => [
  { f, shapes: [[2, 3]], ...(range ? { range } : {}) },
];
const binary = (f: (a: Value, b: Value) => Value, range?: readonly [number, number]): Case[] =>
  (
    [
      [
        [2, 3],
        [2, 3],
      ],
      [
        [2, 1, 3],
        [4, 1],
      ],
      [[], [2, 2]],
      [[3], [1, 1]],
    ] as Shape[][]
  ).map((shapes) => ({ f, shapes, ...(range ? { range } : {}) }));

const products = (a: Shape, b: Shape, options: op.MatmulOptions = {}): Case => ({
  f: (x, y) => op.matmul(x, y, options),
  shapes: [a, b],
});

/** A convolution's three faces at the same sizes. */
const CONVOLUTIONS: readonly [Shape, Shape, op.Conv2dOptions][] = [
  [[2, 2, 4, 3], [3, 2, 3, 3], { padding: 1 }],
  [[1, 2, 3, 3], [2, 2, 1, 1], {}],
  [[1, 2, 5, 4], [2, 2, 3, 3], { stride: 2, padding: 1 }],
  [[1, 1, 4, 6], [2, 1, 3, 3], { stride: 2, padding: [0, 0, 1, 1] }],
  [[1, 1, 7, 5], [1, 1, 2, 3], { stride: 3 }],
];
const outputOf = (x: Shape, w: Shape, options: op.Conv2dOptions): Shape =>
  op.conv2d(op.input("x", x), op.input("w", w), undefined, options).shape as Shape;

const CASES: { readonly [P in Primitive]: readonly Case[] } = {
  input: unary((x) => x),
  param: unary((x) => op.mul(x, op.constant([3], [1, 2, 3]))),
  constant: unary((x) => op.add(op.mul(x, 3), op.constant([2, 1], [1, 2]))),
  composite: unary((x) => op.composite("unknown", {}, [x], op.exp(op.mul(x, x)))),
  detach: [],

  neg: unary(op.neg),
  abs: unary(op.abs),
  exp: unary(op.exp),
  log: unary(op.log, [0.5, 3]),
  sqrt: unary(op.sqrt, [0.5, 3]),
  sin: unary(op.sin),
  cos: unary(op.cos),
  tanh: unary(op.tanh),
  sigmoid: unary(op.sigmoid),
  erf: unary(op.erf),

  add: binary(op.add),
  sub: binary(op.sub),
  mul: [...binary(op.mul), ...unary((x) => op.mul(x, x))],
  div: binary(op.div, [0.5, 2]),
  max: binary(op.max),
  min: binary(op.min),
  equal: binary((a, b) => op.where(op.equal(a, b), a, b)),
  less: binary((a, b) => op.where(op.less(a, b), a, op.mul(b, b))),
  where: [
    { f: (c, a, b) => op.where(op.less(c, 0), a, b), shapes: [[2, 3], [3], [2, 1]] },
    { f: (c, a, b) => op.where(op.less(c, 0), a, b), shapes: [[3], [2, 1, 3], []] },
  ],

  sum: [
    { f: (x) => op.sum(op.mul(x, x), [0, 2]), shapes: [[2, 3, 2]] },
    { f: (x) => op.sum(op.exp(x), [-1]), shapes: [[2, 3]] },
  ],
  reduceMax: [{ f: (x) => op.reduceMax(x, [0, 2]), shapes: [[2, 3, 2]] }],

  reshape: unary((x) => op.reshape(op.exp(x), [3, 2])),
  transpose: [{ f: (x) => op.exp(op.transpose(x, [2, 0, 1])), shapes: [[2, 3, 2]] }],
  expand: [{ f: (x) => op.expand(op.exp(x), [3, 2, 4]), shapes: [[2, 1]] }],
  slice: [
    { f: (x) => op.exp(op.slice(x, 1, 1, 2)), shapes: [[2, 4]] },
    { f: (x) => op.mul(op.slice(x, 1, 0, 2), op.slice(x, 1, 2, 2)), shapes: [[2, 4]] },
    { f: (x) => op.mul(op.slice(x, 1, 0, 2), op.slice(x, 1, 1, 2)), shapes: [[2, 4]] },
  ],
  concat: [
    {
      f: (x, y) => op.exp(op.concat([x, y, x], 1)),
      shapes: [
        [2, 2, 2],
        [2, 1, 2],
      ],
    },
  ],
  pad: [
    {
      f: (x) =>
        op.exp(
          op.pad(x, [
            [1, 0],
            [0, 2],
            [0, 0],
          ]),
        ),
      shapes: [[2, 2, 2]],
    },
  ],
  gather: [
    { f: (x) => op.exp(op.gather(x, indices([2, 2], 3, 0, 1, 3))), shapes: [[4, 2]] },
    { f: (x) => op.exp(op.gather(x, indices([], 1))), shapes: [[2, 2]] },
  ],
  scatterRows: [
    { f: (x) => op.exp(op.scatterRows(x, indices([2, 2], 3, 0, 1, 3), 4)), shapes: [[2, 2, 3]] },
  ],

  matmul: [
    products([2, 3], [3, 4]),
    products([2, 2, 3], [3, 4]),
    products([2, 2, 3], [4, 3], { transB: true }),
    products([2, 3, 2], [2, 3, 1], { transA: true }),
    products([3, 2], [2, 4, 3], { transA: true, transB: true }),
    products([2, 1, 2, 3], [3, 3, 2]),
    products([2, 3], [2, 2, 3], { transB: true }),
    products([2, 3, 2], [3, 2], { transA: true }),
  ],
  conv2d: CONVOLUTIONS.map(([x, w, options]) => ({
    f: (a, b, c) => op.conv2d(a, b, c, options),
    shapes: [x, w, [w[0]!]],
  })),
  conv2dInputGrad: CONVOLUTIONS.map(([x, w, options]) => ({
    f: (dy, b) => op.conv2dInputGrad(dy, b, x, options),
    shapes: [outputOf(x, w, options), w],
  })),
  conv2dWeightGrad: CONVOLUTIONS.map(([x, w, options]) => ({
    f: (a, dy) => op.conv2dWeightGrad(a, dy, [w[2]!, w[3]!], options),
    shapes: [x, outputOf(x, w, options)],
  })),
  resizeNearest: (
    [
      [6, 4],
      [5, 3],
      [2, 1],
      [6, 2],
    ] as const
  ).map(([height, width]) => ({
    f: (x) => op.exp(op.resizeNearest(x, height, width)),
    shapes: [[1, 2, 3, 2]],
  })),
  sumPool: [{ f: (x) => op.exp(op.sumPool(x, 2)), shapes: [[1, 2, 4, 2]], range: [-1, 1] }],
};

describe("primitives against central differences", () => {
  const cases = Object.entries(CASES).flatMap(([name, list]) =>
    list.map((c, i): [string, Case] => [`${name} ${i}`, c]),
  );
  test.each(cases)("%s", (_, c) => check(c));

  test("at random shapes that broadcast", () => {
    const side = fc.constantFrom(1, 2, 3);
    const shape = fc.array(side, { minLength: 0, maxLength: 3 });
    // Both shapes out of one, each axis kept or 1, each cut to a rank.
    const pair = fc
      .tuple(shape, fc.array(fc.boolean(), { minLength: 8, maxLength: 8 }), fc.nat(3), fc.nat(3))
      .map(([full, ones, a, b]): [number[], number[]] => {
        const part = (from: number, flags: readonly boolean[]): number[] =>
          full.map((d, i) => (flags[i] ? 1 : d)).slice(Math.min(from, full.length));
        return [part(a, ones.slice(0, 4)), part(b, ones.slice(4))];
      });
    const f = fc.constantFrom(op.add, op.sub, op.mul, op.div, op.max, op.min);
    fc.assert(
      fc.property(f, pair, fc.nat(1000), (g, shapes, seed) => {
        check({ f: g, shapes, range: [0.5, 2] }, seed);
      }),
      { numRuns: 60, seed: 1 },
    );
  });
});

type Forward = Exclude<composite.CompositeName, keyof composite.GradientSpecs>;

const COMPOSITES: { readonly [C in Forward]: readonly Case[] } = {
  softmax: [{ f: composite.softmax, shapes: [[2, 4]] }],
  silu: unary(composite.silu),
  gelu: unary(composite.gelu),
  quickGelu: unary(composite.quickGelu),
  linear: [
    { f: (x, w, b) => composite.linear(x, w, b), shapes: [[2, 2, 3], [4, 3], [4]] },
    {
      f: (x, w) => composite.linear(x, w),
      shapes: [
        [2, 3],
        [4, 3],
      ],
    },
  ],
  int8Linear: [
    { f: (x, w, s, b) => composite.int8Linear(x, w, s, b), shapes: [[2, 2, 3], [3, 4], [4], [4]] },
  ],
  int8Conv2d: [
    {
      f: (x, weight, scale, bias) => {
        const range = op.constant([3], [1, 1, 1]);
        return composite.int8Conv2d(x, { weight, scale, bias, range }, { padding: 1 });
      },
      shapes: [[1, 2, 3, 3], [3, 2, 3, 3], [3], [3]],
    },
  ],
  int8Peak: [{ f: (x, b) => composite.int8Peak(x, b), shapes: [[2, 3, 2, 2], [3]] }],
  layerNorm: [
    { f: (x, w, b) => composite.layerNorm(x, w, b, 1e-2), shapes: [[2, 2, 4], [4], [4]] },
    { f: (x, w, b) => composite.layerNorm(x, w, b, 1e-2), shapes: [[5], [5], [5]] },
  ],
  inverseDeviation: [{ f: (x) => composite.inverseDeviation(x, 1e-2), shapes: [[2, 2, 4]] }],
  groupNorm: [
    {
      f: (x, w, b) => composite.groupNorm(x, w, b, { groups: 2, eps: 1e-2 }),
      shapes: [[2, 4, 2, 2], [4], [4]],
    },
    {
      f: (x, w, b) => composite.groupNorm(x, w, b, { groups: 2, eps: 1e-2 }),
      shapes: [[2, 6, 3], [6], [6]],
    },
  ],
  attention: [
    {
      f: (q, k, v) => composite.attention(q, k, v, { heads: 2, scale: 0.6, causal: false }),
      shapes: [
        [2, 3, 4],
        [2, 2, 4],
        [2, 2, 4],
      ],
    },
    {
      f: (q, k, v) => composite.attention(q, k, v, { heads: 2, scale: 0.6, causal: true }),
      shapes: [
        [1, 3, 4],
        [1, 3, 4],
        [1, 3, 4],
      ],
    },
    {
      f: (x) => composite.attention(x, x, x, { heads: 1, scale: 1, causal: false }),
      shapes: [[2, 3, 2]],
    },
  ],
};

describe("compositions against central differences", () => {
  const cases = Object.entries(COMPOSITES).flatMap(([name, list]) =>
    list.map((c, i): [string, Case] => [`${name} ${i}`, c]),
  );
  test.each(cases)("%s", (_, c) => check(c));
});

describe("attention in chunks of heads and of queries", () => {
  const shape = [2, 5, 6];
  const xs = [0, 1, 2, 3].map((i) => op.input(`x${i}`, shape));
  const fed = xs.map((_, i) => drawn(shape, i + 1, [-2, 2]));
  const [q, k, v, dy] = xs as [Value, Value, Value, Value];

  // One head has 25 scores, one query 5, and there are 6 heads.
  test.each([1, 5, 14, 24, 25, 50, 100, 149])("of at most %i scores", (chunkScores) => {
    for (const causal of [false, true]) {
      const spec = { heads: 3, scale: 0.6, causal };
      const y = composite.attention(q, k, v, spec);
      const want = run(attentionGradient([q, k, v], dy, y, spec), fed);
      const got = run(attentionGradient([q, k, v], dy, y, spec, chunkScores, 0), fed);
      for (const [i, data] of got.entries()) {
        for (const [j, x] of data.entries()) expect(x).toBeCloseTo(want[i]![j]!, 12);
      }
    }
  });
});

describe("where a function has a corner", () => {
  const at = (f: (...xs: Value[]) => Value, ...xs: readonly number[]): number[] => {
    const inputs = xs.map((_, i) => op.input(`x${i}`, []));
    const fed = xs.map((x): Array64 => ({ shape: [], data: Float64Array.of(x) }));
    return run(grad(f(...inputs), inputs), fed).map((data) => data[0]!);
  };

  test("abs has no slope at 0", () => expect(at(op.abs, 0)).toEqual([0]));
  test("equal sides of max and min share evenly", () => {
    expect(at(op.max, 2, 2)).toEqual([0.5, 0.5]);
    expect(at(op.min, 2, 2)).toEqual([0.5, 0.5]);
    expect(at(op.max, 2, 3)).toEqual([0, 1]);
    expect(at(op.min, 2, 3)).toEqual([1, 0]);
  });
  test("clamping passes at its bounds and stops beyond, as torch.clamp does", () => {
    const clamp = (x: Value): Value => op.min(op.max(x, -1), 1);
    expect([-2, -1, 0, 1, 2].flatMap((x) => at(clamp, x))).toEqual([0, 1, 1, 1, 0]);
    const turned = (x: Value): Value => op.max(-1, op.min(1, x));
    expect([-2, -1, 0, 1, 2].flatMap((x) => at(turned, x))).toEqual([0, 1, 1, 1, 0]);
  });
  test("equal maxima of an axis share evenly", () => {
    const x = op.input("x0", [4]);
    const [dx] = grad(op.reshape(op.reduceMax(x, [0]), []), [x]);
    const fed = { shape: [4], data: Float64Array.of(1, 5, 5, -1) };
    expect([...run([dx!], [fed])[0]!]).toEqual([0, 0.5, 0.5, 0]);
  });
});
