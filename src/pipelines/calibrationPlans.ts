/*
 * What is drawn to measure a model. Results that go beyond their range are cut, which costs far more than a
 * range that is too wide. The less was seen of what a model does, the more room its ranges get: the most
 * where one prompt was drawn in a few steps at half the size, the least after several prompts over the whole
 * schedule. What such ranges cost a picture is in docs/int8.md, and scripts/measureInt8.ts measures it.
 */

/** A quick look at a model, for its first picture in 8 bits; at large ones, at half their size. */
export function quickCalibration(nativeSize: number): {
  readonly prompts: readonly string[];
  readonly steps: number;
  readonly room: number;
  readonly width: number;
  readonly height: number;
} {
  const isLarge = nativeSize > LARGE;
  const side = isLarge ? nativeSize / 2 : nativeSize;
  const whole = side > 64 ? side - (side % 64) : side;
  const size = { width: whole, height: whole };
  return { prompts: ["a photograph"], steps: 4, room: isLarge ? 3 : 2, ...size };
}

/** Pixels a side up to which pictures are drawn quickly whole. */
const LARGE = 256;

/** Prompts of several kinds over the whole schedule. */
export const THOROUGH_CALIBRATION = {
  prompts: [
    "a photograph of an astronaut riding a horse",
    "a red house beside a lake at sunset",
    "portrait of an old woman, oil on canvas",
    "a futuristic cityscape at night, neon lights",
  ],
  steps: 8,
  room: 1.25,
} as const;
