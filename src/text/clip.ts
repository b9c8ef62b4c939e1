import { END_OF_WORD, type Merge } from "./bpe.js";
import { BYTE_ALPHABET } from "./byteLevel.js";
import { CLIP_MERGES } from "./clipMerges.js";
import { clipTokenizerOf, type Tokenizer } from "./tokenizer.js";

/** Which token fills an encoding up: SD 1.x pads with the end token, SD 2.x with "!", id 0. */
export type ClipPadding = "<|endoftext|>" | "!";

/** CLIP's 48,894 merges, in order of rank. */
export async function clipMerges(): Promise<Merge[]> {
  const bytes = Uint8Array.from(atob(CLIP_MERGES), (char) => char.charCodeAt(0));
  const text = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const lines = (await new Response(text).text()).split("\n");
  return lines.map((line) => line.split(" ") as [string, string]);
}

/** The tokens that merges make, in the order of CLIP's ids: bytes, bytes that end a word, merges. */
export function clipVocabulary(merges: readonly Merge[]): Map<string, number> {
  const tokens = [
    ...BYTE_ALPHABET,
    ...BYTE_ALPHABET.map((char) => char + END_OF_WORD),
    ...merges.map(([left, right]) => left + right),
    "<|startoftext|>",
    "<|endoftext|>",
  ];
  return new Map(tokens.map((token, id) => [token, id]));
}

/**
 * The tokenizer of CLIP ViT-L/14 and OpenCLIP ViT-H, 49,408 tokens, 77 a prompt, for checkpoints
 * that carry none. It reads as the published SD 1.x and 2.x tokenizer folders do: SD 2.x's padding
 * makes every "!" in a prompt the token 0, and knows its special tokens in any case of letters.
 */
export async function clipTokenizer(options: {
  readonly padToken: ClipPadding;
}): Promise<Tokenizer> {
  const merges = await clipMerges();
  const { padToken } = options;
  const plain = { lstrip: false, rstrip: false, singleWord: false };
  const normalized = padToken === "!";
  return clipTokenizerOf({
    vocab: clipVocabulary(merges),
    merges,
    startToken: "<|startoftext|>",
    endToken: "<|endoftext|>",
    padToken,
    unknownToken: "<|endoftext|>",
    addedTokens: [
      { content: "<|startoftext|>", normalized: true, ...plain },
      { content: "<|endoftext|>", normalized, ...plain },
      ...(padToken === "!" ? [{ content: "!", normalized: false, ...plain }] : []),
    ],
    maxLength: 77,
  });
}
