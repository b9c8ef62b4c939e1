import type { Merge } from "./bpe.js";
import { clipVocabulary } from "./clip.js";

/** The files of a `tokenizer` folder. */
export interface ClipTokenizerFiles {
  readonly "vocab.json": string;
  readonly "merges.txt": string;
  readonly "tokenizer_config.json": string;
}

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

/** tokenizer_config.json of a tokenizer like CLIP's, padded with the end token. */
export function clipTokenizerConfig(maxLength: number): string {
  return json({
    tokenizer_class: "CLIPTokenizer",
    model_max_length: maxLength,
    bos_token: "<|startoftext|>",
    eos_token: "<|endoftext|>",
    pad_token: "<|endoftext|>",
    unk_token: "<|endoftext|>",
  });
}

/**
 * The `tokenizer` folder of a diffusers model whose vocabulary is CLIP's bytes and these merges;
 * padded with the end token. maxLength: tokens of a prompt, start and end included. Source:
 * transformers CLIPTokenizer.save_pretrained.
 */
export function clipTokenizerFiles(
  merges: readonly Merge[],
  maxLength: number,
): ClipTokenizerFiles {
  return {
    "vocab.json": json(Object.fromEntries(clipVocabulary(merges))),
    "merges.txt": ["#version: 0.2", ...merges.map((pair) => pair.join(" ")), ""].join("\n"),
    "tokenizer_config.json": clipTokenizerConfig(maxLength),
  };
}
