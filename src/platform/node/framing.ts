import type { Sharp } from "sharp";
import { checkPixels, MAX_PIXELS, unreadablePicture } from "../../image/decode.js";
import { type Picture, picture } from "../../image/picture.js";
import { partOffset } from "../../image/window.js";
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

const KERNELS = { lanczos: "lanczos3", cubic: "cubic" } as const;
const FORMATS = "PNG, JPEG, WebP, GIF or TIFF";

/**
 * Width and height of the picture in a file's bytes, turned upright; its first bytes mostly do.
 * Throws "bad-file" for what is no picture and for more pixels than Tintype reads.
 */
export async function pictureSize(bytes: Uint8Array, name: string): Promise<PixelSize> {
  const { default: sharp } = await import("sharp");
  const metadata = await sharp(bytes, { limitInputPixels: false, failOn: "none" })
    .metadata()
    .catch((cause) => {
      throw unreadablePicture(name, cause, FORMATS);
    });
  const { width, height } = metadata.autoOrient;
  checkPixels(name, width, height);
  return [width, height];
}

/**
 * A part of the picture in a file's bytes, scaled by libvips: JPEG and WebP files are decoded at the
 * nearest larger power of two, so large photographs are cheap. Colours as `decodePicture` gives
 * them. Throws "bad-file", naming `name`, for anything that is no whole picture.
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
    const plain =
      metadata.space === "srgb" && metadata.channels === 3 && metadata.depth === "uchar";
    if (plain) return await framed(sharp(bytes, options).autoOrient(), [width, height], framing);
    // Scaling would blend alpha in, and turn deep or printed colours otherwise.
    const whole = await decodePicture(bytes, name);
    const raw = { width: whole.width, height: whole.height, channels: 3 } as const;
    return await framed(sharp(whole.data, { raw }), [raw.width, raw.height], framing);
  } catch (cause) {
    throw cause instanceof TintypeError ? cause : unreadablePicture(name, cause, FORMATS);
  }
}

async function framed(image: Sharp, [w, h]: PixelSize, framing: Framing): Promise<Picture> {
  const { cover, size, at, resample } = framing;
  const scale = Math.max(cover[0] / w, cover[1] / h);
  const [width, height] = [
    Math.max(cover[0], Math.round(w * scale)),
    Math.max(cover[1], Math.round(h * scale)),
  ];
  if (width * height > MAX_PIXELS) throw new Error(`${w}x${h} pixels are too long and narrow`);
  const kernel = KERNELS[resample];
  const left = partOffset(width, size[0], at[0]);
  const top = partOffset(height, size[1], at[1]);
  const { data, info } = await image
    .resize({ width, height, fit: "fill", kernel, fastShrinkOnLoad: false })
    .extract({ left, top, width: size[0], height: size[1] })
    .raw({ depth: "uchar" })
    .toBuffer({ resolveWithObject: true });
  const pixels = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return picture(info.width, info.height, new Uint8Array(pixels));
}
