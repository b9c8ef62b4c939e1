/** A quick look at a model, for its first picture in 8 bits: half its size, few steps, much room. */
export const QUICK_CALIBRATION = { prompts: ["a photograph"], steps: 4, room: 1.25 } as const;

/** Prompts of several kinds over the whole schedule. */
export const THOROUGH_CALIBRATION = {
  prompts: [
    "a photograph of an astronaut riding a horse",
    "a red house beside a lake at sunset",
    "portrait of an old woman, oil on canvas",
    "a futuristic cityscape at night, neon lights",
  ],
  steps: 8,
  room: 1.1,
} as const;
