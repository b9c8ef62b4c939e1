// Rounding of matrices to 8 bits, in AssemblyScript: four numbers at a time, and the rest of a row one
// by one. Addresses are in bytes.
// Compile with: npx tsx scripts/buildKernels.ts

/** 1.5 * 2^23: a sum with it ends in the nearest whole number, ties to even. */
// @ts-ignore: decorator
@inline const WHOLE: f32 = 12582912;

/** 2^-127: below it 1 / unit is infinite. */
// @ts-ignore: decorator
@inline const LEAST_UNIT: f32 = 5.877471754111438e-39;

/** 2^112: half precision's exponents in single precision's place are too small by this. */
// @ts-ignore: decorator
@inline const HALF: f32 = 5192296858534827628530496329220096.0;

/**
 * Rounds `rows` of `width` float32 numbers to whole numbers of -limit to limit. Writes these, what one of
 * them stands for and the norm of each row; answers the first row with a number that is not finite, or -1.
 */
export function quantize(
  x: usize, rows: i32, width: i32, limit: f32, values: usize, scales: usize, norms: usize,
): i32 {
  let broken = -1;
  for (let row = 0; row < rows; row++) {
    const quads = x + 16 * (width >> 2), wide = x + 64 * (width >> 4), end = x + 4 * width;
    let mosts = f32x4.splat(0), evens = f64x2.splat(0), odds = f64x2.splat(0);
    let at = x;
    for (; at < quads; at += 16) {
      const v = v128.load(at);
      mosts = f32x4.pmax(mosts, f32x4.abs(v));
      const low = f64x2.promote_low_f32x4(v);
      const high = f64x2.promote_low_f32x4(i32x4.shuffle(v, v, 2, 3, 2, 3));
      evens = f64x2.add(evens, f64x2.mul(low, low));
      odds = f64x2.add(odds, f64x2.mul(high, high));
    }
    evens = f64x2.add(evens, odds);
    let squares = f64x2.extract_lane(evens, 0) + f64x2.extract_lane(evens, 1);
    let most = max(
      max(f32x4.extract_lane(mosts, 0), f32x4.extract_lane(mosts, 1)),
      max(f32x4.extract_lane(mosts, 2), f32x4.extract_lane(mosts, 3)),
    );
    for (; at < end; at += 4) {
      const v = load<f32>(at);
      most = max(most, abs(v));
      squares += <f64>v * <f64>v;
    }
    if (broken < 0 && !isFinite(squares)) broken = row;
    const unit: f32 = most == 0 ? 1 : max(most / limit, LEAST_UNIT);
    store<f32>(scales + 4 * row, unit);
    store<f32>(norms + 4 * row, <f32>Math.sqrt(squares));
    const inverse: f32 = 1 / unit;
    const inverses = f32x4.splat(inverse), wholes = f32x4.splat(WHOLE);
    for (at = x; at < wide; at += 64, values += 16) {
      const a = f32x4.add(f32x4.mul(v128.load(at), inverses), wholes);
      const b = f32x4.add(f32x4.mul(v128.load(at, 16), inverses), wholes);
      const c = f32x4.add(f32x4.mul(v128.load(at, 32), inverses), wholes);
      const d = f32x4.add(f32x4.mul(v128.load(at, 48), inverses), wholes);
      const ab = i8x16.shuffle(a, b, 0, 4, 8, 12, 16, 20, 24, 28, 0, 4, 8, 12, 16, 20, 24, 28);
      const cd = i8x16.shuffle(c, d, 0, 4, 8, 12, 16, 20, 24, 28, 0, 4, 8, 12, 16, 20, 24, 28);
      v128.store(values, i64x2.shuffle(ab, cd, 0, 2));
    }
    for (; at < end; at += 4, values++) {
      store<u8>(values, <u8>reinterpret<u32>(load<f32>(at) * inverse + WHOLE));
    }
    x = end;
  }
  return broken;
}

/** binary16 -> float32, exact; what is not finite stays so. */
export function widenHalves(from: usize, to: usize, count: i32): void {
  const eights = to + 32 * (count >> 3), end = to + 4 * count;
  for (; to < eights; to += 32, from += 16) {
    const h = v128.load(from);
    v128.store(to, widened(i32x4.extend_low_i16x8_u(h)));
    v128.store(to, widened(i32x4.extend_high_i16x8_u(h)), 16);
  }
  for (; to < end; to += 4, from += 2) {
    const one = widened(i32x4.splat(load<u16>(from)));
    store<f32>(to, f32x4.extract_lane(one, 0));
  }
}

// @ts-ignore: decorator
@inline function widened(h: v128): v128 {
  const magnitude = i32x4.shl(v128.and(h, i32x4.splat(0x7fff)), 13);
  const sign = i32x4.shl(v128.and(h, i32x4.splat(0x8000)), 16);
  const isBroken = i32x4.ge_s(magnitude, i32x4.splat(0x7c00 << 13));
  const exponent = v128.and(isBroken, i32x4.splat(0x7f800000));
  return v128.or(v128.or(f32x4.mul(magnitude, f32x4.splat(HALF)), exponent), sign);
}

/** bfloat16 -> float32, exact. */
export function widenBrains(from: usize, to: usize, count: i32): void {
  const eights = to + 32 * (count >> 3), end = to + 4 * count;
  const zeros = i32x4.splat(0);
  for (; to < eights; to += 32, from += 16) {
    const h = v128.load(from);
    v128.store(to, i16x8.shuffle(zeros, h, 0, 8, 1, 9, 2, 10, 3, 11));
    v128.store(to, i16x8.shuffle(zeros, h, 4, 12, 5, 13, 6, 14, 7, 15), 16);
  }
  for (; to < end; to += 4, from += 2) store<u32>(to, <u32>load<u16>(from) << 16);
}

/** Bytes [rows, width] -> [width, rows], whose rows are `stride` apart; `scratch` has 512 bytes. */
export function transpose(
  x: usize, rows: i32, width: i32, out: usize, stride: i32, scratch: usize,
): void {
  const wholeRows = rows & ~15, wholeWidth = width & ~15;
  for (let i = 0; i < wholeRows; i += 16) {
    for (let j = 0; j < wholeWidth; j += 16) {
      square(x + i * width + j, width, out + j * stride + i, stride, scratch);
    }
  }
  for (let i = 0; i < rows; i++) {
    const first = i < wholeRows ? wholeWidth : 0;
    for (let j = first; j < width; j++) store<u8>(out + j * stride + i, load<u8>(x + i * width + j));
  }
}

/** 16 x 16 bytes: four times, rows of the upper half take turns with those of the lower. */
// @ts-ignore: decorator
@inline function square(x: usize, width: i32, out: usize, stride: i32, scratch: usize): void {
  turns(x, width, scratch, 16);
  turns(scratch, 16, scratch + 256, 16);
  turns(scratch + 256, 16, scratch, 16);
  turns(scratch, 16, out, stride);
}

// @ts-ignore: decorator
@inline function turns(from: usize, width: i32, to: usize, stride: i32): void {
  for (let i = 0; i < 8; i++) {
    const a = v128.load(from + i * width), b = v128.load(from + (i + 8) * width);
    const low = i8x16.shuffle(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const high = i8x16.shuffle(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    v128.store(to + 2 * i * stride, low);
    v128.store(to + (2 * i + 1) * stride, high);
  }
}
