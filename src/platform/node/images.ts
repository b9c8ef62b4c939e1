import type { Metadata, Sharp } from "sharp";
import { checkPixels, MAX_PIXELS, unreadablePicture } from "../../image/decode.js";
import { type Mask, type Picture, picture, toGrayscale } from "../../image/picture.js";
import { TintypeError } from "../../util/errors.js";

// Vector graphics and documents have no pixels of their own.
const FORMATS: ReadonlySet<string> = new Set([
  "png",
  "jpeg",
  "webp",
  "gif",
  "tiff",
  "heif",
  "jp2",
  "jxl",
]);

/** The first three of every `channels` bytes. */
function dropChannels(data: Uint8Array, channels: number): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array((data.length / channels) * 3);
  for (let i = 0, o = 0; i < data.length; i += channels) {
    for (let c = 0; c < 3; c++) out[o++] = data[i + c]!;
  }
  return out;
}

/** CMYK -> RGB without a profile. Source: Pillow, libImaging/Convert.c, cmyk2rgb. */
function fromCmyk(data: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array((data.length / 4) * 3);
  for (let i = 0, o = 0; i < data.length; i += 4) {
    const light = 255 - data[i + 3]!;
    for (let c = 0; c < 3; c++) {
      const product = data[i + c]! * light + 128;
      out[o++] = light - (((product >> 8) + product) >> 8);
    }
  }
  return out;
}

async function pixels(image: Sharp, { space }: Metadata): Promise<Picture> {
  const cmyk = space === "cmyk";
  const turned = image.autoOrient();
  const plain = cmyk ? turned.pipelineColourspace("cmyk").toColourspace("cmyk") : turned;
  const { data, info } = await plain.raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true });
  const rgb = cmyk ? fromCmyk(data) : dropChannels(data, info.channels);
  return picture(info.width, info.height, rgb);
}

/**
 * The picture in a file's bytes, as diffusers' load_image gives it: turned upright by its EXIF
 * orientation, then RGB with alpha dropped (not composited) and colour profiles ignored. 16-bit
 * channels keep their high byte; Pillow does so too, except for 16-bit gray without alpha, which it
 * clips to white above 255. Throws "bad-file", naming `name`, for anything that is no picture.
 */
export async function decodePicture(bytes: Uint8Array, name: string): Promise<Picture> {
  const { default: sharp } = await import("sharp");
  try {
    const options = { ignoreIcc: true, failOn: "error", limitInputPixels: MAX_PIXELS } as const;
    // libvips states its own limit less well than checkPixels does.
    const metadata = await sharp(bytes, { ...options, limitInputPixels: false }).metadata();
    checkPixels(name, metadata.width, metadata.height);
    if (!FORMATS.has(metadata.format)) {
      throw new Error(`${metadata.format} files are not supported`);
    }
    return await pixels(sharp(bytes, options), metadata);
  } catch (cause) {
    throw cause instanceof TintypeError
      ? cause
      : unreadablePicture(name, cause, "PNG, JPEG, WebP, GIF or TIFF");
  }
}

/** The mask in a file's bytes: the luma of `decodePicture`. White is where a picture is repainted. */
export async function decodeMask(bytes: Uint8Array, name: string): Promise<Mask> {
  return toGrayscale(await decodePicture(bytes, name));
}
