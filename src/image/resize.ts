import { check } from "../util/errors.js";
import { type Mask, mask, type Picture, picture } from "./picture.js";

/** Resampling filters, by Pillow's names. */
export type Resample = "nearest" | "box" | "bilinear" | "bicubic" | "lanczos";

interface Filter {
  /** The filter is zero outside [-support, support]. */
  readonly support: number;
  readonly weight: (x: number) => number;
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}

// Keys 1981 with a = -0.5.
function cubic(x: number): number {
  const d = Math.abs(x);
  if (d < 1) return (1.5 * d - 2.5) * d * d + 1;
  return d < 2 ? (((d - 5) * d + 8) * d - 4) * -0.5 : 0;
}

const FILTERS: Readonly<Record<Exclude<Resample, "nearest">, Filter>> = {
  box: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: { support: 2, weight: cubic },
  lanczos: { support: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

// Weights are fixed point: 32 bits less 8 for the pixel and 2 for what negative lobes overshoot.
const PRECISION = 22;

interface Taps {
  /** Input index of each output's first weight. */
  readonly start: Int32Array;
  readonly weights: readonly Int32Array[];
}

/** The weights of every output pixel of one axis. */
function taps(inSize: number, outSize: number, { support, weight }: Filter): Taps {
  const scale = inSize / outSize;
  const stretch = Math.max(scale, 1); // downscaling widens the filter over all that it covers
  const start = new Int32Array(outSize);
  const weights = Array.from(start, (_, out) => {
    const center = (out + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - support * stretch + 0.5));
    const end = Math.min(inSize, Math.trunc(center + support * stretch + 0.5));
    start[out] = first;
    const raw = Float64Array.from({ length: end - first }, (_, i) =>
      weight((i + first - center + 0.5) * (1 / stretch)),
    );
    const sum = raw.reduce((total, w) => total + w, 0);
    return Int32Array.from(raw, (w) => {
      const fixed = (sum === 0 ? w : w / sum) * 2 ** PRECISION;
      return Math.trunc(fixed < 0 ? fixed - 0.5 : fixed + 0.5);
    });
  });
  return { start, weights };
}

/** Resamples the middle axis of `data`, which is [outer, inSize, inner]. */
function resampleAxis(
  data: Uint8Array,
  outer: number,
  inSize: number,
  inner: number,
  { start, weights }: Taps,
): Uint8Array<ArrayBuffer> {
  // Uint8ClampedArray does the clipping to 0..255.
  const out = new Uint8ClampedArray(outer * weights.length * inner);
  let to = 0;
  for (let o = 0; o < outer; o++) {
    for (const [i, w] of weights.entries()) {
      const from = (o * inSize + start[i]!) * inner;
      for (let j = 0; j < inner; j++) {
        let sum = 1 << (PRECISION - 1);
        for (let k = 0, at = from + j; k < w.length; k++, at += inner) {
          sum = (sum + Math.imul(data[at]!, w[k]!)) | 0;
        }
        out[to++] = sum >> PRECISION;
      }
    }
  }
  return new Uint8Array(out.buffer);
}

type Plane = {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array<ArrayBuffer>;
};

function resample(
  image: Plane,
  channels: number,
  width: number,
  height: number,
  filter: Filter,
): Plane {
  const { width: w, height: h, data } = image;
  const rows = width === w ? data : resampleAxis(data, h, w, channels, taps(w, width, filter));
  return {
    width,
    height,
    data: height === h ? rows : resampleAxis(rows, 1, h, width * channels, taps(h, height, filter)),
  };
}

/** Nearest input index of every output; positions are summed up, as the reference does. */
function nearestIndices(inSize: number, outSize: number): Int32Array {
  const scale = inSize / outSize;
  let position = scale * 0.5;
  return Int32Array.from({ length: outSize }, () => {
    const index = Math.min(Math.trunc(position), inSize - 1);
    position += scale;
    return index;
  });
}

function nearest(image: Plane, channels: number, width: number, height: number): Plane {
  const columns = nearestIndices(image.width, width);
  const rows = nearestIndices(image.height, height);
  const data = new Uint8Array(width * height * channels);
  let out = 0;
  for (const row of rows) {
    for (const column of columns) {
      const at = (row * image.width + column) * channels;
      for (let c = 0; c < channels; c++) data[out++] = image.data[at + c]!;
    }
  }
  return { width, height, data };
}

function resizePlane(
  image: Plane,
  channels: number,
  width: number,
  height: number,
  by: Resample,
): Plane {
  for (const [axis, size] of [
    ["width", width],
    ["height", height],
  ] as const) {
    check(
      Number.isInteger(size) && size > 0,
      "bad-argument",
      `resize: ${axis} must be a positive integer, got ${size}`,
    );
  }
  if (width === image.width && height === image.height) return image;
  return by === "nearest"
    ? nearest(image, channels, width, height)
    : resample(image, channels, width, height, FILTERS[by]);
}

/**
 * The picture at width x height, the same bytes as Pillow's Image.resize gives: two passes, first
 * along the rows, with 22-bit weights, each rounded to 8 bits. Source: Pillow, libImaging/Resample.c.
 */
export function resize(
  image: Picture,
  width: number,
  height: number,
  by: Resample = "lanczos",
): Picture {
  return picture(width, height, resizePlane(image, 3, width, height, by).data);
}

/** The mask at width x height, as `resize`. */
export function resizeMask(
  image: Mask,
  width: number,
  height: number,
  by: Resample = "lanczos",
): Mask {
  return mask(width, height, resizePlane(image, 1, width, height, by).data);
}

/** The size that an init image keeps: its own, floored to multiples of 8. Throws when nothing is left. */
export function sizeToMultipleOf8(
  width: number,
  height: number,
): { width: number; height: number } {
  check(
    width >= 8 && height >= 8,
    "bad-argument",
    `init image: expected at least 8x8 pixels, got ${width}x${height}. Give a width and a height.`,
  );
  return { width: width - (width % 8), height: height - (height % 8) };
}

/** The picture resized to its own size floored to multiples of 8, as diffusers does to an init image. */
export function fitToMultipleOf8(image: Picture): Picture {
  const { width, height } = sizeToMultipleOf8(image.width, image.height);
  return resize(image, width, height);
}
