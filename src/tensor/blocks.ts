/*
 * Channels in blocks, as ONNX Runtime's fast convolutions take them: pictures lie as
 * [B, C/16, H, W, 16], weights as [O/16, I/16, kh, kw, 16 of I, 16 of O], in blocks of mostly 16.
 */

/** Whether pictures of this shape have whole blocks of channels. */
export const hasBlocks = (shape: readonly unknown[], block: number): boolean =>
  shape.length === 4 && typeof shape[1] === "number" && shape[1] % block === 0;

/** Whether weights of this shape are kept in blocks. */
export const packable = (shape: readonly unknown[], block: number): boolean =>
  hasBlocks(shape, block) && (shape[0] as number) % block === 0;

/** Where the numbers of one block of a weight lie, counted from its first, in a row-major weight. */
function placesInBlock([, i, kh, kw]: readonly number[], n: number): Int32Array {
  const taps = kh! * kw!;
  const places = new Int32Array(taps * n * n);
  let at = 0;
  for (let tap = 0; tap < taps; tap++)
    for (let x = 0; x < n; x++)
      for (let y = 0; y < n; y++) places[at++] = (y * i! + x) * taps + tap;
  return places;
}

/** Where the blocks of a weight begin, in a row-major weight. */
function blocksOf([o, i, kh, kw]: readonly number[], n: number): number[] {
  const begins: number[] = [];
  for (let ob = 0; ob < o!; ob += n)
    for (let ib = 0; ib < i!; ib += n) begins.push((ob * i! + ib) * kh! * kw!);
  return begins;
}

/** Another order of a weight's numbers, which rows read it in. */
export interface WeightLayout {
  /** The shape that it is fed in, and that its gradient comes in. */
  readonly feedShape: readonly number[];
  /** From row-major order into this one; a new array, unless there is one to put it in. */
  pack(plain: Float32Array, into?: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer>;
  /** Back again; a new array. */
  unpack(packed: Float32Array): Float32Array<ArrayBuffer>;
}

/** How weights of this shape are fed to the rules of blocks; undefined if row-major. */
export function blockedLayout(shape: readonly number[], block: number): WeightLayout | undefined {
  if (!packable(shape, block)) return undefined;
  return {
    feedShape: shape,
    pack(plain, into) {
      const result = into ?? new Float32Array(plain.length);
      const places = placesInBlock(shape, block);
      let at = 0;
      for (const begin of blocksOf(shape, block))
        for (let k = 0; k < places.length; k++) result[at++] = plain[begin + places[k]!]!;
      return result;
    },
    unpack(packed) {
      const result = new Float32Array(packed.length);
      const places = placesInBlock(shape, block);
      let at = 0;
      for (const begin of blocksOf(shape, block))
        for (let k = 0; k < places.length; k++) result[begin + places[k]!] = packed[at++]!;
      return result;
    },
  };
}
