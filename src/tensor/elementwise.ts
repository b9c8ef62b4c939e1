import { invariant } from "../util/errors.js";
import { type Tensor, tensor } from "./tensor.js";

/*
 * Arithmetic on host tensors of equal shape. Every result is rounded to float32 once per call, and
 * scalars are rounded to float32 first, as PyTorch does for a float32 tensor and a Python number.
 */

function zip(name: string, a: Tensor, b: Tensor, f: (a: number, b: number) => number): Tensor {
  invariant(
    a.shape.length === b.shape.length && a.shape.every((d, i) => d === b.shape[i]),
    `${name}: shapes [${a.shape}] and [${b.shape}] differ`,
  );
  const out = new Float32Array(a.data.length);
  for (let i = 0; i < out.length; i++) out[i] = f(a.data[i]!, b.data[i]!);
  return tensor(a.shape, out);
}

/** f(x) for each element. */
export function map(a: Tensor, f: (x: number) => number): Tensor {
  const out = new Float32Array(a.data.length);
  for (let i = 0; i < out.length; i++) out[i] = f(a.data[i]!);
  return tensor(a.shape, out);
}

/** a + b */
export function add(a: Tensor, b: Tensor): Tensor {
  return zip("add", a, b, (x, y) => x + y);
}

/** a - b */
export function sub(a: Tensor, b: Tensor): Tensor {
  return zip("sub", a, b, (x, y) => x - y);
}

/** a * b */
export function mul(a: Tensor, b: Tensor): Tensor {
  return zip("mul", a, b, (x, y) => x * y);
}

/** a / b */
export function div(a: Tensor, b: Tensor): Tensor {
  return zip("div", a, b, (x, y) => x / y);
}

/** s * a */
export function scale(a: Tensor, s: number): Tensor {
  const k = Math.fround(s);
  return map(a, (x) => x * k);
}

/** a / s */
export function divide(a: Tensor, s: number): Tensor {
  const k = Math.fround(s);
  return map(a, (x) => x / k);
}

/** Pictures [from, from + count) of a batch [B,...]. */
export function sliceBatch(a: Tensor, from: number, count: number): Tensor {
  const size = a.data.length / a.shape[0]!;
  const data = a.data.slice(from * size, (from + count) * size);
  return tensor([count, ...a.shape.slice(1)], data);
}

/** Batches one after another; all axes but the first agree. */
export function concatBatch(parts: readonly Tensor[]): Tensor {
  const rest = parts[0]!.shape.slice(1);
  const data = new Float32Array(parts.reduce((n, p) => n + p.data.length, 0));
  let at = 0;
  for (const part of parts) {
    invariant(
      `${part.shape.slice(1)}` === `${rest}`,
      `concatBatch: [${part.shape}] after [?,${rest}]`,
    );
    data.set(part.data, at);
    at += part.data.length;
  }
  return tensor([parts.reduce((n, p) => n + p.shape[0]!, 0), ...rest], data);
}

/** [B,C,...] and [B,D,...] -> [B,C+D,...] */
export function concatChannels(a: Tensor, b: Tensor): Tensor {
  const batch = a.shape[0]!;
  const data = new Float32Array(a.data.length + b.data.length);
  const [na, nb] = [a.data.length / batch, b.data.length / batch];
  for (let i = 0; i < batch; i++) {
    data.set(a.data.subarray(i * na, (i + 1) * na), i * (na + nb));
    data.set(b.data.subarray(i * nb, (i + 1) * nb), i * (na + nb) + na);
  }
  return tensor([batch, a.shape[1]! + b.shape[1]!, ...a.shape.slice(2)], data);
}
