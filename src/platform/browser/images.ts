import { checkPixels, unreadablePicture } from "../../image/decode.js";
import { type Mask, type Picture, pictureFromRgba, toGrayscale } from "../../image/picture.js";

/** Pixels by way of a texture: a 2D canvas would lose the colours of transparent pixels. */
function readByTexture(bitmap: ImageBitmap): Uint8Array | undefined {
  const gl = new OffscreenCanvas(1, 1).getContext("webgl2");
  if (gl === null) return undefined;
  try {
    const limit = gl.getParameter(gl.MAX_TEXTURE_SIZE) as number;
    if (Math.max(bitmap.width, bitmap.height) > limit) return undefined;
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
    gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
    const texture = gl.getParameter(gl.TEXTURE_BINDING_2D) as WebGLTexture;
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
    const out = new Uint8Array(bitmap.width * bitmap.height * 4);
    gl.readPixels(0, 0, bitmap.width, bitmap.height, gl.RGBA, gl.UNSIGNED_BYTE, out);
    return gl.getError() === gl.NO_ERROR ? out : undefined;
  } finally {
    gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}

function readByCanvas(bitmap: ImageBitmap): Uint8ClampedArray {
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
  if (context === null) throw new Error("this browser gives no canvas");
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height).data;
}

/**
 * The picture in a file's bytes: turned upright by its EXIF orientation, then RGB with alpha dropped
 * (not composited) and colour profiles ignored. Throws "bad-file", naming `name`, for anything that
 * is no picture. Chromium gives the same bytes as the decoder for Node.
 */
export async function decodePicture(
  bytes: Uint8Array<ArrayBuffer>,
  name: string,
): Promise<Picture> {
  const bitmap = await createImageBitmap(new Blob([bytes]), {
    imageOrientation: "from-image",
    colorSpaceConversion: "none",
    premultiplyAlpha: "none",
  }).catch((cause: unknown) => {
    throw unreadablePicture(name, cause, "PNG, JPEG, WebP or GIF");
  });
  try {
    const { width, height } = bitmap;
    checkPixels(name, width, height);
    return pictureFromRgba(width, height, readByTexture(bitmap) ?? readByCanvas(bitmap));
  } finally {
    bitmap.close();
  }
}

/** The mask in a file's bytes: the luma of `decodePicture`. White is where a picture is repainted. */
export async function decodeMask(bytes: Uint8Array<ArrayBuffer>, name: string): Promise<Mask> {
  return toGrayscale(await decodePicture(bytes, name));
}
