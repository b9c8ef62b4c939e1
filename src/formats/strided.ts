import { DTYPE_BYTES, type DType } from "../tensor/dtype.js";
import type { ByteSource } from "../util/bytes.js";
import { checkRange } from "../util/bytes.js";

/** Elements of a strided layout over a flat storage; all in elements, none negative. */
export interface Layout {
  readonly offset: number;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
}

/** Elements from the first to behind the last one that a layout reaches; 0 when it has none. */
export function spanOf({ shape, stride }: Layout): number {
  if (shape.includes(0)) return 0;
  return shape.reduce((span, size, i) => span + (size - 1) * stride[i]!, 1);
}

/** Do the elements lie one after the other, in row-major order? */
export function isContiguous({ shape, stride }: Layout): boolean {
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && stride[i] !== expected) return false;
    expected *= shape[i]!;
  }
  return true;
}

/** Calls `visit` with the position in the storage of each element of the range, in row-major order. */
function walk(
  layout: Layout,
  first: number,
  count: number,
  visit: (position: number) => void,
): void {
  const { shape, stride } = layout;
  const index = shape.map(() => 0);
  let position = layout.offset;
  for (let i = shape.length - 1, rest = first; i >= 0; i--) {
    index[i] = rest % shape[i]!;
    rest = Math.floor(rest / shape[i]!);
    position += index[i]! * stride[i]!;
  }
  for (let k = 0; k < count; k++) {
    visit(position);
    for (let i = shape.length - 1; i >= 0; i--) {
      position += stride[i]!;
      index[i]!++;
      if (index[i]! < shape[i]!) break;
      position -= index[i]! * stride[i]!;
      index[i] = 0;
    }
  }
}

/**
 * The contiguous, row-major bytes of a strided tensor (transposed, expanded, a slice). Nothing is
 * kept: each read gathers what it is asked for. `start` is the storage's byte offset in `source`.
 */
export function stridedSource(
  source: ByteSource,
  start: number,
  dtype: DType,
  layout: Layout,
  length: number,
): ByteSource {
  const item = DTYPE_BYTES[dtype];
  const name = `${source.name} (a strided tensor)`;
  return {
    name,
    size: length,
    async read(offset, wanted) {
      checkRange(name, length, offset, wanted);
      if (wanted === 0) return new Uint8Array(0);
      const first = Math.floor(offset / item);
      const count = Math.ceil((offset + wanted) / item) - first;
      const bytes = await gather(source, start, item, layout, first, count);
      return bytes.subarray(offset - first * item, offset - first * item + wanted);
    },
  };
}

async function gather(
  source: ByteSource,
  start: number,
  item: number,
  layout: Layout,
  first: number,
  count: number,
): Promise<Uint8Array<ArrayBuffer>> {
  let [low, high] = [Number.POSITIVE_INFINITY, 0];
  walk(layout, first, count, (position) => {
    low = Math.min(low, position);
    high = Math.max(high, position);
  });
  const from = await source.read(start + low * item, (high + 1 - low) * item);
  const out = new Uint8Array(count * item);
  let at = 0;
  walk(layout, first, count, (position) => {
    const begin = (position - low) * item;
    for (let b = 0; b < item; b++) out[at++] = from[begin + b]!;
  });
  return out;
}
