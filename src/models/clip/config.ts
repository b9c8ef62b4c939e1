/** Activation of the MLP, by transformers' names. */
export type ClipActivation = "quick_gelu" | "gelu";

/** Everything that shapes a CLIP text encoder. */
export interface ClipTextConfig {
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layers: number;
  readonly heads: number;
  /** Tokens of a prompt, start and end included: 77. */
  readonly maxPositions: number;
  readonly activation: ClipActivation;
  readonly layerNormEps: number;
}

/** Everything that shapes a CLIP image encoder. */
export interface ClipVisionConfig {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layers: number;
  readonly heads: number;
  /** Side of the pictures that it sees, in pixels. */
  readonly imageSize: number;
  /** Side of the squares that the picture is cut into; divides `imageSize`. */
  readonly patchSize: number;
  readonly activation: ClipActivation;
  readonly layerNormEps: number;
}

/** A text and an image encoder that meet in one space. */
export interface ClipConfig {
  readonly text: ClipTextConfig;
  readonly vision: ClipVisionConfig;
  /** Width of the space. */
  readonly projectionDim: number;
}

/** CLIP ViT-L/14 text encoder: Stable Diffusion 1.x. */
export const CLIP_L_TEXT: ClipTextConfig = {
  vocabSize: 49408,
  hiddenSize: 768,
  intermediateSize: 3072,
  layers: 12,
  heads: 12,
  maxPositions: 77,
  activation: "quick_gelu",
  layerNormEps: 1e-5,
};

/** OpenCLIP ViT-H text encoder without its last layer: Stable Diffusion 2.x. */
export const OPENCLIP_H_TEXT: ClipTextConfig = {
  ...CLIP_L_TEXT,
  hiddenSize: 1024,
  intermediateSize: 4096,
  layers: 23,
  heads: 16,
  activation: "gelu",
};
