import { convolve, type Kernel, type Shape4, type Sides } from "../blocks/convolve.js";
import { blocked, indices, type Layouts, type Named, turnBlocks } from "../blocks/layouts.js";
import type { Builder } from "../builder.js";

/** How dx of a strided convolution is put together from the gradients of each phase of the stride. */
interface Phases {
  /** Rows (or columns) of dy that meet one of dx, and how many zeros stand around dy. */
  readonly taps: number;
  readonly before: number;
  readonly after: number;
  /** The row of the kernel that phase `phase` meets at `tap`; -1 if none. */
  row(phase: number, tap: number): number;
}

/** dx[s i + a] is the sum over q of dy[i + q] w[a + pad - s q]. */
function phasesOf(size: number, from: number, k: number, s: number, pad: number): Phases {
  let [first, last] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let a = 0; a < s; a++)
    for (let r = 0; r < k; r++) {
      if ((a + pad - r) % s !== 0) continue;
      first = Math.min(first, (a + pad - r) / s);
      last = Math.max(last, (a + pad - r) / s);
    }
  const taps = last - first + 1;
  return {
    taps,
    before: -first,
    after: size / s + taps - 1 - from + first,
    row(phase, tap) {
      const r = phase + pad - s * (tap + first);
      return r >= 0 && r < k ? r : -1;
    },
  };
}

/**
 * dx at stride s: each of the s x s phases of a pixel's place has a small kernel of its own. All are
 * computed as so many channels, and then put in their places.
 */
export function stridedInputGrad(
  b: Builder,
  at: Layouts,
  dy: Named,
  weight: Kernel,
  [batch, c, height, width]: Shape4,
  stride: number,
  [top, left]: Sides,
): string | undefined {
  const n = at.block;
  const [o, i, kh, kw] = weight.shape;
  const [, , h, w] = dy.shape as Shape4;
  if (o % n !== 0 || i % n !== 0 || height % stride !== 0 || width % stride !== 0) return undefined;
  const down = phasesOf(height, h, kh, stride, top);
  const across = phasesOf(width, w, kw, stride, left);
  if (Math.min(down.before, down.after, across.before, across.after) < 0) return undefined;
  const [ob, ib] = [o / n, i / n];
  const taps = down.taps * across.taps;
  const count = stride * stride * ib * ob * taps;
  const filters: Shape4 = [stride * stride * i, o, down.taps, across.taps];
  const kernel = at.once(`phases ${stride} ${top} ${left} ${weight.packed()}`, () => {
    const key = `phases ${weight.shape} ${height} ${width} ${stride} ${top} ${left}`;
    const rows = indices(b, at, key, [count], (put) => {
      for (let p = 0; p < stride; p++)
        for (let q = 0; q < stride; q++)
          for (let x = 0; x < ib; x++)
            for (let y = 0; y < ob; y++)
              for (let u = 0; u < down.taps; u++)
                for (let v = 0; v < across.taps; v++) {
                  const [r, s] = [down.row(p, u), across.row(q, v)];
                  put(r < 0 || s < 0 ? ob * ib * kh * kw : ((y * ib + x) * kh + r) * kw + s);
                }
    });
    const blocks = b.node("Reshape", [weight.packed(), b.int64([ob * ib * kh * kw, n * n])]);
    const zero = b.floats([1, n * n], new Float32Array(n * n));
    const all = b.node("Concat", [blocks, zero], { axis: 0 });
    const turned = turnBlocks(b, n, b.node("Gather", [all, rows], { axis: 0 }), count);
    return at.mark(b.node("Reshape", [turned, b.int64(filters)]), "weight");
  });
  const phases = convolve(b, [blocked(b, at, dy), kernel], {
    kernel: [down.taps, across.taps],
    pads: [down.before, across.before, down.after, across.after],
  });
  const [hs, ws] = [height / stride, width / stride];
  const split = b.node("Reshape", [phases, b.int64([batch, stride, stride, c / n, hs, ws, n])]);
  const places = b.node("Transpose", [split], { perm: [0, 3, 4, 1, 5, 2, 6] });
  return at.mark(b.node("Reshape", [places, b.int64([batch, c, height, width])]), "picture");
}
