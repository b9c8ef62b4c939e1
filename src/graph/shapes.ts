import { invariant } from "../util/errors.js";
import {
  addDims,
  type Dim,
  dimProduct,
  exactDivDim,
  floorDivDim,
  sameDim,
  sameShape,
  showShape,
} from "./dim.js";
import type { PrimitiveAttrs, Value } from "./value.js";

/*
 * Shape arithmetic of the primitives. What does not fit throws at trace time, with both shapes.
 */

/** The shape of an elementwise result, by NumPy's broadcasting. */
export function broadcastShapes(op: string, ...shapes: (readonly Dim[])[]): Dim[] {
  const rank = Math.max(...shapes.map((s) => s.length));
  return Array.from({ length: rank }, (_, i) => {
    let result: Dim = 1;
    for (const shape of shapes) {
      const d = shape[shape.length - rank + i] ?? 1;
      if (d === 1) continue;
      invariant(
        result === 1 || sameDim(result, d),
        () => `${op}: shapes ${shapes.map(showShape).join(" and ")} do not broadcast`,
      );
      result = d;
    }
    return result;
  });
}

/** A shape with one -1 resolved so that it holds as many elements as `from`. */
export function reshapeShape(from: readonly Dim[], to: readonly Dim[]): readonly Dim[] {
  const hole = to.indexOf(-1);
  const total = dimProduct(from);
  if (hole < 0) {
    invariant(
      sameDim(total, dimProduct(to)),
      () => `reshape: ${showShape(from)} has another number of elements than ${showShape(to)}`,
    );
    return to;
  }
  const others = to.filter((_, i) => i !== hole);
  const rest = exactDivDim(total, dimProduct(others));
  invariant(
    rest !== undefined && !others.includes(-1),
    () => `reshape: ${showShape(from)} does not divide into ${showShape(to)}`,
  );
  return to.map((d, i) => (i === hole ? rest : d));
}

/** Batched matrix product; leading axes broadcast. */
export function matmulShape(
  a: Value,
  b: Value,
  { transA, transB }: PrimitiveAttrs["matmul"],
): readonly Dim[] {
  const turned = [transA ? "transA" : "", transB ? "transB" : ""].filter(Boolean).join(", ");
  const who = turned === "" ? "matmul" : `matmul (${turned})`;
  const show = `${who}: ${showShape(a.shape)} and ${showShape(b.shape)}`;
  invariant(a.shape.length >= 2 && b.shape.length >= 2, `${show} need two axes`);
  const sides = (x: Value, turn: boolean): readonly [Dim, Dim] => {
    const [rows, columns] = x.shape.slice(-2) as [Dim, Dim];
    return turn ? [columns, rows] : [rows, columns];
  };
  const [rows, inner] = sides(a, transA);
  const [bInner, columns] = sides(b, transB);
  invariant(sameDim(inner, bInner), `${show} do not fit`);
  const batch = broadcastShapes("matmul", a.shape.slice(0, -2), b.shape.slice(0, -2));
  return [...batch, rows, columns];
}

/** floor((size + padding - kernel) / stride) + 1 for each side. */
export function conv2dShape(
  x: readonly Dim[],
  weight: readonly Dim[],
  stride: number,
  [top, left, bottom, right]: readonly [number, number, number, number],
): readonly Dim[] {
  const show = `conv2d: input ${showShape(x)}, weight ${showShape(weight)}`;
  invariant(x.length === 4 && weight.length === 4, `${show}: expected [B,C,H,W] and [O,C,kh,kw]`);
  const [b, c, h, w] = x as [Dim, Dim, Dim, Dim];
  const [o, wc, kh, kw] = weight as [Dim, Dim, Dim, Dim];
  invariant(sameDim(c, wc), `${show}: channels differ`);
  invariant(typeof kh === "number" && typeof kw === "number", `${show}: kernel must be known`);
  const side = (size: Dim, pad: number, kernel: number): Dim =>
    addDims(floorDivDim(addDims(size, pad - kernel), stride), 1);
  return [b, o, side(h, top + bottom, kh), side(w, left + right, kw)];
}

/** Shapes that must agree but for one axis, whose sizes add up. */
export function concatShape(values: readonly Value[], axis: number): readonly Dim[] {
  const first = values[0]!.shape;
  for (const { shape } of values) {
    invariant(
      shape.length === first.length && shape.every((d, i) => i === axis || sameDim(d, first[i]!)),
      `concat on axis ${axis}: shapes ${values.map((x) => showShape(x.shape)).join(", ")} differ`,
    );
  }
  const total = values.reduce((n: Dim, v) => addDims(n, v.shape[axis]!), 0);
  return first.map((d, i) => (i === axis ? total : d));
}

/** Throws unless `v` has this shape. */
export function expectShape(who: string, v: Value, shape: readonly Dim[]): void {
  invariant(
    sameShape(v.shape, shape),
    `${who}: expected ${showShape(shape)}, got ${showShape(v.shape)}`,
  );
}
