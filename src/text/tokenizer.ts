import { check } from "../util/errors.js";
import { type AddedToken, addedTokenSplitter } from "./addedTokens.js";
import { bytePairEncoder, END_OF_WORD, type Merge, type Vocabulary } from "./bpe.js";
import { fromByteLevel, toByteLevel } from "./byteLevel.js";

/** A prompt as the text encoder takes it. */
export interface Encoding {
  /** Token ids, `maxLength` of them: start, prompt, end, padding. */
  readonly ids: Int32Array<ArrayBuffer>;
  /** How many of them are start, prompt and end. */
  readonly length: number;
  /** The end of the prompt that did not fit, as the tokenizer reads it back. */
  readonly truncated: string | undefined;
}

/** Text <-> token ids. */
export interface Tokenizer {
  /** Ids of `prompt`, cut and padded to `maxLength`. */
  encode(prompt: string): Encoding;
  /** Text of `ids`, special tokens included. Lossy: case and spacing are gone. */
  decode(ids: Iterable<number>): string;
  /** Length of every encoding, start and end included. */
  readonly maxLength: number;
  /** Number of tokens, added ones included. */
  readonly vocabSize: number;
}

/** Everything that sets one CLIP tokenizer apart from another. */
export interface TokenizerOptions {
  readonly vocab: Vocabulary;
  readonly merges: readonly Merge[];
  readonly startToken: string;
  readonly endToken: string;
  readonly padToken: string;
  readonly unknownToken: string;
  /** Tokens to find first. Those that `vocab` lacks take the ids after it, in this order. */
  readonly addedTokens: readonly AddedToken[];
  readonly maxLength: number;
}

const WORDS =
  /<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\p{White_Space}\p{L}\p{N}]+/gu;
// The byte-level stage cuts once more, by GPT-2's rule: it takes "<|endoftext|>" apart, which WORDS
// keeps whole for the sake of what stands around it.
const PARTS = /'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}+|[^\p{White_Space}\p{L}\p{N}]+/gu;

/** NFC, white space collapsed, lower case: letter by letter, so that a final sigma stays a sigma. */
export function normalize(text: string): string {
  const collapsed = text.normalize("NFC").replace(/\p{White_Space}+/gu, " ");
  return Array.from(collapsed, (char) => char.toLowerCase()).join("");
}

/** Normalized text -> the words that byte pairs are merged in. */
export function splitWords(text: string): string[] {
  const words = text.match(WORDS) ?? [];
  return words.flatMap((word) => word.match(PARTS) ?? []);
}

/** White space for Python's str.strip: Unicode's, and the four information separators. */
function isSpace(char: string): boolean {
  return /\p{White_Space}/u.test(char) || (char >= "\x1c" && char <= "\x1f");
}

function strip(text: string): string {
  const chars = [...text];
  const first = chars.findIndex((char) => !isSpace(char));
  return chars.slice(first, chars.findLastIndex((char) => !isSpace(char)) + 1).join("");
}

function withAdded(vocab: Vocabulary, addedTokens: readonly AddedToken[]): Map<string, number> {
  const ids = new Map(vocab);
  for (const { content } of addedTokens) if (!ids.has(content)) ids.set(content, ids.size);
  return ids;
}

/** Text -> ids without start and end. */
function bodyEncoder(options: TokenizerOptions, ids: Vocabulary): (text: string) => number[] {
  const encodeWord = bytePairEncoder(options.vocab, options.merges, ids.get(options.unknownToken)!);
  const given = options.addedTokens.filter((token) => !token.normalized);
  const normalized = options.addedTokens.filter((token) => token.normalized);
  const splitGiven = addedTokenSplitter(given, normalize);
  const splitNormalized = addedTokenSplitter(normalized, normalize);
  return (text) =>
    splitGiven(text)
      .flatMap((piece) =>
        piece.kind === "text" ? splitNormalized(normalize(piece.text)) : [piece],
      )
      .flatMap((piece) => {
        if (piece.kind === "token") return [ids.get(piece.content)!];
        return splitWords(piece.text).flatMap((word) => encodeWord(toByteLevel(word)));
      });
}

/**
 * CLIP's tokenizer: lower-cased byte-level BPE between a start and an end token. Gives the ids of
 * transformers' CLIPTokenizer with `padding="max_length", truncation=True`. Source: Radford et al.
 * 2021; transformers 5.18, models/clip/tokenization_clip.py. What is a letter, a digit, a capital and a mark is
 * the runtime's knowledge, newer than the reference's: characters that Unicode gained after version
 * 9 (2016) may be cut or ordered otherwise.
 */
export function clipTokenizerOf(options: TokenizerOptions): Tokenizer {
  const { maxLength, startToken, endToken, padToken, unknownToken } = options;
  check(
    Number.isInteger(maxLength) && maxLength >= 2,
    "bad-argument",
    `tokenizer: maxLength must be an integer of at least 2, got ${maxLength}`,
  );
  const ids = withAdded(options.vocab, options.addedTokens);
  for (const token of [startToken, endToken, padToken, unknownToken]) {
    check(
      ids.has(token),
      "bad-file",
      `tokenizer: "${token}" is neither a token nor an added token`,
    );
  }
  const tokens = new Map(Array.from(ids, ([token, id]) => [id, token]));
  const [start, end, pad] = [ids.get(startToken)!, ids.get(endToken)!, ids.get(padToken)!];
  const encodeBody = bodyEncoder(options, ids);

  const decode = (list: Iterable<number>): string =>
    strip(
      fromByteLevel(Array.from(list, (id) => tokens.get(id) ?? "")).replaceAll(END_OF_WORD, " "),
    );

  return {
    maxLength,
    vocabSize: ids.size,
    decode,
    encode(prompt) {
      const body = encodeBody(prompt.toWellFormed());
      const kept = body.slice(0, maxLength - 2);
      const padded = new Int32Array(maxLength).fill(pad);
      padded.set([start, ...kept, end]);
      const cut = body.slice(kept.length);
      return {
        ids: padded,
        length: kept.length + 2,
        truncated: cut.length > 0 ? decode(cut) : undefined,
      };
    },
  };
}
