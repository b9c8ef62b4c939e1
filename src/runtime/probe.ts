import { attention, groupNorm, linear, silu, softmax } from "../graph/composites.js";
import { mulDims, symbol } from "../graph/dim.js";
import { type Array64, evaluate } from "../graph/evaluate.js";
import { graphOf } from "../graph/graph.js";
import * as op from "../graph/ops.js";
import type { Value } from "../graph/value.js";
import { sizeOf, type Tensor, tensor } from "../tensor/tensor.js";
import type { Engine } from "./engine.js";

/** What a probe found out about a device, as far as it came. */
export interface ProbeFindings {
  /** Relative error of a small network in float32, and in half precision. */
  readonly error?: number;
  readonly halfError?: number;
  /** Software drivers that were loaded. */
  readonly drivers?: readonly string[];
  /** Speed of a matrix product here and on the CPU, 10^9 operations a second. */
  readonly gigaflops?: number;
  readonly cpuGigaflops?: number;
  /** Bytes that a buffer had while answers were still right. */
  readonly bufferBytes?: number;
  /** What ended the probe early. */
  readonly trouble?: string;
}

const WIDTH = 32;
const [b, h, w, n] = [symbol("b"), symbol("h"), symbol("w"), symbol("n")];

/** A piece of a UNet: what a driver must get right before a model is trusted to it. */
function smallNetwork(): Value {
  const x = op.input("x", [b, WIDTH, h, w]);
  const kernel = op.input("kernel", [WIDTH, WIDTH, 3, 3]);
  const scale = op.input("scale", [WIDTH]);
  const matrix = op.input("matrix", [WIDTH, WIDTH]);
  const normal = silu(groupNorm(x, scale, scale, { groups: 8, eps: 1e-5 }));
  const pixels = op.conv2d(normal, kernel, scale, { padding: 1 });
  const tokens = op.transpose(op.reshape(pixels, [b, WIDTH, mulDims(h, w)]), [0, 2, 1]);
  const q = linear(tokens, matrix, scale);
  return op.add(attention(q, tokens, tokens, { heads: 4, scale: 0.35, causal: false }), q);
}

/** Numbers in [-1, 1) that are the same everywhere. */
function waves(shape: readonly number[], seed: number): Tensor {
  const data = new Float32Array(sizeOf(shape));
  for (let i = 0; i < data.length; i++) data[i] = Math.sin(i * 12.9898 + seed * 78.233);
  return tensor(shape, data);
}

/** Relative error of a small network to the float64 evaluator. */
export async function probeError(engine: Engine): Promise<number> {
  const output = smallNetwork();
  const inputs = {
    x: waves([2, WIDTH, 7, 9], 1),
    kernel: waves([WIDTH, WIDTH, 3, 3], 2),
    scale: waves([WIDTH], 3),
    matrix: waves([WIDTH, WIDTH], 4),
  };
  await using program = await engine.load(graphOf({ output }), new Map(), { label: "probe" });
  const got = (await program.run(inputs)).output!.data;
  const wide = ({ shape, data }: Tensor): Array64 => ({ shape, data: Float64Array.from(data) });
  const [want] = evaluate([output], {
    inputs: Object.fromEntries(Object.entries(inputs).map(([name, t]) => [name, wide(t)])),
    params: () => wide(waves([0], 0)),
  });
  let [difference, norm] = [0, 0];
  want!.data.forEach((y, i) => {
    difference += (got[i]! - y) ** 2;
    norm += y * y;
  });
  return Math.sqrt(difference / norm);
}

const PRODUCTS = 8;

/** Speed of matrix products in 10^9 operations a second, kernels compiled before. */
export async function matmulSpeed(engine: Engine): Promise<number> {
  const [x, y] = [op.input("x", [n, n]), op.input("y", [n, n])];
  let z: Value = x;
  for (let i = 0; i < PRODUCTS; i++) z = op.mul(op.matmul(z, y), 1e-3);
  const graph = graphOf({ total: op.sum(z, [0, 1]) });
  await using program = await engine.load(graph, new Map(), { label: "probe" });
  const speed = async (side: number): Promise<number> => {
    const inputs = { x: waves([side, side], 1), y: waves([side, side], 2) };
    await program.run(inputs);
    const start = performance.now();
    await program.run(inputs);
    return (PRODUCTS * 2 * side ** 3) / (performance.now() - start) / 1e6;
  };
  const small = await speed(256);
  return small < 5 ? small : await speed(1024);
}

/** Reports larger and larger buffers, up to 1 GiB, as long as a softmax over them is right. */
export async function largestBuffer(
  engine: Engine,
  report: (bytes: number) => void,
): Promise<void> {
  const width = 1024;
  const wide = op.expand(op.input("x", [n, 1]), [n, width]);
  const graph = graphOf({ most: op.reduceMax(softmax(wide), [1]) });
  await using program = await engine.load(graph, new Map(), { label: "probe" });
  for (let bytes = 2 ** 27; bytes <= 2 ** 30; bytes *= 2) {
    const rows = bytes / 4 / width;
    const { most } = await program.run({ x: waves([rows, 1], 5) });
    if (!most!.data.every((p) => Math.abs(p * width - 1) < 1e-3)) return;
    report(bytes);
  }
}
