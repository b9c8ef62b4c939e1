import type { Sharp } from "sharp";
import { checkPixels, MAX_PIXELS, unreadablePicture } from "../../image/decode.js";
import { type Picture, picture } from "../../image/picture.js";
import { resize } from "../../image/resize.js";
import { cut, partOffset } from "../../image/window.js";
import { TintypeError } from "../../util/errors.js";
import { decodePicture } from "./images.js";

/** Width and height in pixels. */
export type PixelSize = readonly [width: number, height: number];

/** A part of a picture at another scale. */
export interface Framing {
  /** The picture is scaled until it just covers this size. */
  readonly cover: PixelSize;
  /** What is cut out then. */
  readonly size: PixelSize;
  /** Where the cut lies, from 0 (left, top) to 1 (right, bottom). */
  readonly at: readonly [x: number, y: number];
  readonly resample: "lanczos" | "cubic";
}

const FORMATS = "PNG, JPEG, WebP, GIF or TIFF";

/**
 * Width and height of the picture in a file's bytes, turned upright; its first bytes mostly do.
 * Throws "bad-file" for what is no picture and for more pixels than Tintype reads.
 */
export async function pictureSize(bytes: Uint8Array, name: string): Promise<PixelSize> {
  const { default: sharp } = await import("sharp");
  let size: PixelSize;
  try {
    const options = { limitInputPixels: false, failOn: "none" } as const;
    const { autoOrient } = await sharp(bytes, options).metadata();
    size = [autoOrient.width, autoOrient.height];
  } catch (cause) {
    throw unreadablePicture(name, cause, FORMATS);
  }
  checkPixels(name, ...size);
  return size;
}

/** The size at which a picture just covers another. Throws for a strip that would get too large. */
function covering([w, h]: PixelSize, cover: PixelSize): PixelSize {
  const scale = Math.max(cover[0] / w, cover[1] / h);
  const scaled = [
    Math.max(cover[0], Math.round(w * scale)),
    Math.max(cover[1], Math.round(h * scale)),
  ] as const;
  if (scaled[0] * scaled[1] <= MAX_PIXELS) return scaled;
  throw new Error(`${w}x${h} pixels are too long and narrow`);
}

/**
 * A part of the picture in a file's bytes, at another scale. Pictures are made smaller by libvips:
 * JPEG and WebP files are decoded at the nearest larger power of two, so large photographs are
 * cheap. Colours as `decodePicture` gives them. Throws "bad-file", naming `name`, for anything that
 * is no whole picture.
 */
export async function framePicture(
  bytes: Uint8Array,
  name: string,
  framing: Framing,
): Promise<Picture> {
  const { default: sharp } = await import("sharp");
  try {
    const options = { ignoreIcc: true, failOn: "error", limitInputPixels: MAX_PIXELS } as const;
    const metadata = await sharp(bytes, { ...options, limitInputPixels: false }).metadata();
    const { width, height } = metadata.autoOrient;
    checkPixels(name, width, height);
    const scaled = covering([width, height], framing.cover);
    const plain =
      metadata.space === "srgb" && metadata.channels === 3 && metadata.depth === "uchar";
    const smaller = scaled[0] <= width && scaled[1] <= height;
    if (plain && smaller) {
      return await shrunk(sharp(bytes, options).autoOrient(), scaled, framing);
    }
    // Scaling would blend alpha in, and turn deep or printed colours otherwise.
    const whole = await decodePicture(bytes, name);
    const raw = { width, height, channels: 3 } as const;
    return smaller
      ? await shrunk(sharp(whole.data, { raw }), scaled, framing)
      : enlarged(whole, scaled, framing);
  } catch (cause) {
    throw cause instanceof TintypeError ? cause : unreadablePicture(name, cause, FORMATS);
  }
}

/** Where the part begins. */
const corner = ([width, height]: PixelSize, { size, at }: Framing): readonly [number, number] => [
  partOffset(width, size[0], at[0]),
  partOffset(height, size[1], at[1]),
];

async function shrunk(image: Sharp, scaled: PixelSize, framing: Framing): Promise<Picture> {
  const [width, height] = scaled;
  const [left, top] = corner(scaled, framing);
  const { data, info } = await image
    .resize({
      width,
      height,
      fit: "fill",
      kernel: framing.resample === "lanczos" ? "lanczos3" : "cubic",
      fastShrinkOnLoad: false,
    })
    .extract({ left, top, width: framing.size[0], height: framing.size[1] })
    .raw({ depth: "uchar" })
    .toBuffer({ resolveWithObject: true });
  return picture(info.width, info.height, new Uint8Array(data));
}

/** libvips would move what it enlarges by half a pixel. */
function enlarged(whole: Picture, scaled: PixelSize, framing: Framing): Picture {
  const by = framing.resample === "lanczos" ? "lanczos" : "bicubic";
  return cut(resize(whole, ...scaled, by), corner(scaled, framing), framing.size);
}
