import { readTokenizer, type TokenizerFiles, tokenizerOf } from "../checkpoints/index.js";
import { CAPTION_TOKENS, captionMerges } from "../postcards/index.js";
import { clipTokenizerFiles, type Tokenizer } from "../text/index.js";
import { named, openFolder } from "./pretrained.js";
import type { TaskContext } from "./task.js";

/** A tokenizer and its files. */
export interface NamedTokenizer {
  readonly tokenizer: Tokenizer;
  readonly files: TokenizerFiles;
}

/** The tokenizer in the folder that REF, found at `key`, names, or the one that "postcards" have. */
export function tokenizerNamed(
  key: string,
  ref: string,
  context: TaskContext,
): Promise<NamedTokenizer> {
  return named(key, async () => {
    const files = ref === "postcards" ? postcardsTokenizer() : await tokenizerIn(ref, context);
    return { files, tokenizer: tokenizerOf(ref, files, CLIP_TOKENS) };
  });
}

/** Tokens of a prompt where a tokenizer's files say nothing. */
const CLIP_TOKENS = 77;

function postcardsTokenizer(): TokenizerFiles {
  return { ...clipTokenizerFiles(captionMerges(), CAPTION_TOKENS) };
}

async function tokenizerIn(ref: string, context: TaskContext): Promise<TokenizerFiles> {
  const folder = await openFolder(ref, context);
  return await readTokenizer(folder, await folder.list());
}
