import { type Tensor, tensor, zeros } from "../tensor/tensor.js";
import { invariant } from "../util/errors.js";
import { type Mask, type Picture, toGrayscale } from "./picture.js";
import { resize, resizeMask } from "./resize.js";

/**
 * A mask image -> [1,1,H,W] of 0 and 1, 1 where the picture is repainted: resized by Lanczos, turned
 * gray, cut at one half. A colour picture is resized before it turns gray, as diffusers'
 * VaeImageProcessor(do_binarize, do_convert_grayscale) does.
 */
export function maskToTensor(image: Mask | Picture, width: number, height: number): Tensor {
  const gray =
    "channels" in image
      ? toGrayscale(resize(image, width, height))
      : resizeMask(image, width, height);
  return tensor(
    [1, 1, height, width],
    Float32Array.from(gray.data, (v) => (v >= 128 ? 1 : 0)),
  );
}

/**
 * A mask [B,1,H,W] at the size of the latents, [B,1,h,w], by the nearest pixel. Source: PyTorch,
 * interpolate(mode="nearest"), which takes floor(i * H / h).
 */
export function latentMask({ shape, data }: Tensor, height: number, width: number): Tensor {
  const [batch, channels, h, w] = shape;
  invariant(shape.length === 4 && channels === 1, `latentMask: expected [B,1,H,W], got [${shape}]`);
  const out = zeros([batch!, 1, height, width]);
  // float32, as PyTorch computes its scale
  const [scaleY, scaleX] = [Math.fround(h! / height), Math.fround(w! / width)];
  for (let b = 0, i = 0; b < batch!; b++) {
    for (let y = 0; y < height; y++) {
      const row = (b * h! + Math.min(Math.trunc(Math.fround(y * scaleY)), h! - 1)) * w!;
      for (let x = 0; x < width; x++, i++) {
        out.data[i] = data[row + Math.min(Math.trunc(Math.fround(x * scaleX)), w! - 1)]!;
      }
    }
  }
  return out;
}

/**
 * What an inpainting model sees of the picture: image [B,3,H,W], 0 (gray) where the mask [1,1,H,W]
 * is set. Source: diffusers StableDiffusionInpaintPipeline.
 */
export function maskedImage(image: Tensor, mask: Tensor): Tensor {
  const area = mask.data.length;
  invariant(
    image.shape.length === 4 && image.shape[2]! * image.shape[3]! === area,
    `maskedImage: image [${image.shape}] and mask [${mask.shape}] differ in size`,
  );
  return tensor(
    image.shape,
    image.data.map((x, i) => (mask.data[i % area]! < 0.5 ? x : 0)),
  );
}
