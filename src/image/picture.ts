import { type Tensor, tensor } from "../tensor/tensor.js";
import { check, invariant } from "../util/errors.js";

/** RGB, 8 bits a channel, rows from the top, no padding: `data` is height * width * 3 bytes. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly channels: 3;
  readonly data: Uint8Array<ArrayBuffer>;
}

/** One 8-bit channel, rows from the top: white (255) where a picture is repainted, black where kept. */
export interface Mask {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array<ArrayBuffer>;
}

/** A picture over `data`, whose length must fit. */
export function picture(width: number, height: number, data: Uint8Array<ArrayBuffer>): Picture {
  invariant(
    data.length === width * height * 3,
    `picture: ${width}x${height} wants ${width * height * 3} bytes, got ${data.length}`,
  );
  return { width, height, channels: 3, data };
}

/** A picture of RGBA, 4 bytes a pixel as canvases hand them out; alpha is dropped, not composited. */
export function pictureFromRgba(width: number, height: number, rgba: ArrayLike<number>): Picture {
  const rgb = new Uint8Array(width * height * 3);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) rgb[3 * i + c] = rgba[4 * i + c]!;
  }
  return picture(width, height, rgb);
}

/** A mask over `data`, whose length must fit. */
export function mask(width: number, height: number, data: Uint8Array<ArrayBuffer>): Mask {
  invariant(
    data.length === width * height,
    `mask: ${width}x${height} wants ${width * height} bytes, got ${data.length}`,
  );
  return { width, height, data };
}

/** Round half to even, as numpy and PyTorch do. x >= 0. */
function roundHalfEven(x: number): number {
  const r = Math.round(x);
  return r - x === 0.5 && r % 2 === 1 ? r - 1 : r;
}

/**
 * Pictures of one size -> [B,3,H,W] in [-1, 1], float32. Source: diffusers VaeImageProcessor.preprocess.
 */
export function picturesToTensor(pictures: readonly Picture[]): Tensor {
  const [first] = pictures;
  invariant(first !== undefined, "picturesToTensor: no pictures");
  const { width, height } = first;
  const area = width * height;
  const out = new Float32Array(pictures.length * 3 * area);
  // 256 values, each rounded to float32 after every operation as the reference rounds.
  const values = Float32Array.from({ length: 256 }, (_, v) => Math.fround(v / 255) * 2 - 1);
  for (const [b, { data, ...size }] of pictures.entries()) {
    check(
      size.width === width && size.height === height,
      "bad-argument",
      `pictures of a batch must have one size, got ${width}x${height} and ${size.width}x${size.height}`,
    );
    for (let c = 0; c < 3; c++) {
      const plane = (b * 3 + c) * area;
      for (let i = 0; i < area; i++) out[plane + i] = values[data[i * 3 + c]!]!;
    }
  }
  return tensor([pictures.length, 3, height, width], out);
}

/**
 * [B,3,H,W] in [-1, 1] -> pictures: x / 2 + 0.5 clamped to [0, 1], times 255, rounded half to even.
 * NaN gives black. Source: diffusers VaeImageProcessor.postprocess.
 */
export function tensorToPictures({ shape, data }: Tensor): Picture[] {
  const [batch, channels, height, width] = shape;
  invariant(
    shape.length === 4 && channels === 3,
    `tensorToPictures: expected [B,3,H,W], got [${shape}]`,
  );
  const area = height! * width!;
  return Array.from({ length: batch! }, (_, b) => {
    const bytes = new Uint8Array(area * 3);
    for (let c = 0; c < 3; c++) {
      const plane = (b * 3 + c) * area;
      for (let i = 0; i < area; i++) {
        const x = Math.fround(data[plane + i]! * 0.5 + 0.5);
        const clamped = x > 0 ? Math.min(x, 1) : 0;
        bytes[i * 3 + c] = roundHalfEven(Math.fround(clamped * 255));
      }
    }
    return picture(width!, height!, bytes);
  });
}

/** Picture -> its luma, ITU-R 601-2. Source: Pillow, Image.convert("L"). */
export function toGrayscale({ width, height, data }: Picture): Mask {
  const out = new Uint8Array(width * height);
  for (let i = 0; i < out.length; i++) {
    const [r, g, b] = [data[i * 3]!, data[i * 3 + 1]!, data[i * 3 + 2]!];
    out[i] = (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16;
  }
  return mask(width, height, out);
}
