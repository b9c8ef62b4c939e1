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
