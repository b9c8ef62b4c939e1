export type { CacheOptions } from "./cacheFiles.js";
export type { DataContext } from "./context.js";
export { cacheEmbeddings, type EmbeddingCache } from "./embeddings.js";
export { cacheLatents, type LatentBatch, type LatentCache, type LatentOrder } from "./latents.js";
export { openData } from "./open.js";
export { checkSizes } from "./sizes.js";
export {
  type DataSpec,
  dataSchema,
  type FolderSpec,
  type PictureOptions,
  type PostcardsSpec,
  type WebDatasetSpec,
} from "./spec.js";
export type { Batch, BatchSource, Bucket, ExampleSet, Stepped } from "./types.js";
