import { type Array64, evaluate } from "../../src/graph/evaluate.js";
import { graphOf } from "../../src/graph/graph.js";
import type { Engine } from "../../src/runtime/engine.js";
import { sizeOf, type Tensor, tensor } from "../../src/tensor/tensor.js";
import type { EngineCase } from "./cases.js";

/** Numbers in [low, high) that look random and are the same everywhere. */
export function pseudoRandom(
  shape: readonly number[],
  seed: number,
  [low, high]: readonly [number, number] = [-2, 2],
): Tensor {
  let state = (seed * 2654435761) >>> 0;
  const data = Float32Array.from({ length: sizeOf(shape) }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return low + ((high - low) * state) / 2 ** 32;
  });
  return tensor(shape, data);
}

/** |a - b| / |b|, Euclidean. */
export function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [difference, norm] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    norm += b[i]! ** 2;
  }
  return a.length === b.length ? Math.sqrt(difference / norm) : Number.POSITIVE_INFINITY;
}

const toArray64 = ({ shape, data }: Tensor): Array64 => ({ shape, data: Float64Array.from(data) });

/** Runs one case on an engine; the relative error to the float64 evaluator. */
export async function engineError(
  engine: Engine,
  { name, shapes, output, range }: EngineCase,
): Promise<number> {
  const inputs = Object.fromEntries(
    Object.entries(shapes).map(([key, shape], i) => [key, pseudoRandom(shape, i + 1, range)]),
  );
  await using program = await engine.load(graphOf({ output }), new Map(), { label: name });
  const got = (await program.run(inputs)).output!;
  const [want] = evaluate([output], {
    inputs: Object.fromEntries(Object.entries(inputs).map(([key, t]) => [key, toArray64(t)])),
    params: (param) => {
      throw new Error(`no weight ${param}`);
    },
  });
  if (`${got.shape}` !== `${want!.shape}`) return Number.POSITIVE_INFINITY;
  return relativeError(got.data, want!.data);
}
