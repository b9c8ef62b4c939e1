export type { AddedToken } from "./addedTokens.js";
export type { Merge, Vocabulary } from "./bpe.js";
export { type ClipPadding, clipMerges, clipTokenizer, clipVocabulary } from "./clip.js";
export { type ClipTokenizerFiles, clipTokenizerConfig, clipTokenizerFiles } from "./clipFiles.js";
export { loadTokenizer, type TokenizerFiles } from "./loadTokenizer.js";
export {
  clipTokenizerOf,
  type Encoding,
  type Tokenizer,
  type TokenizerOptions,
} from "./tokenizer.js";
export { type TrainBpeOptions, trainBpe } from "./trainBpe.js";
