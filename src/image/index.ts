export { latentMask, maskedImage, maskToTensor } from "./inpaint.js";
export {
  type Mask,
  mask,
  type Picture,
  picture,
  picturesToTensor,
  tensorToPictures,
  toGrayscale,
} from "./picture.js";
export { type LatentColors, latentsToRgb, SD_LATENT_RGB } from "./preview.js";
export {
  fitToMultipleOf8,
  type Resample,
  resize,
  resizeMask,
  sizeToMultipleOf8,
} from "./resize.js";
