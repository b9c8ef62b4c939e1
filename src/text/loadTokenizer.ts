import { check, TintypeError } from "../util/errors.js";
import type { AddedToken } from "./addedTokens.js";
import type { Merge, Vocabulary } from "./bpe.js";
import { clipTokenizerOf, type Tokenizer } from "./tokenizer.js";

/** The files of a model's tokenizer folder, parsed; any that the folder lacks is left out. */
export interface TokenizerFiles {
  /** tokenizer.json; its vocabulary and merges go before vocab.json and merges.txt. */
  readonly tokenizerJson?: unknown;
  /** vocab.json */
  readonly vocab?: unknown;
  /** merges.txt */
  readonly merges?: string;
  /** tokenizer_config.json */
  readonly tokenizerConfig?: unknown;
  /** special_tokens_map.json; goes before tokenizer_config.json. */
  readonly specialTokensMap?: unknown;
}

// Pairs of ids must fit into one exact number.
const MAX_ID = 2 ** 26;

type Json = Readonly<Record<string, unknown>>;

const DEFAULT_TOKENS: Json = {
  bos_token: "<|startoftext|>",
  eos_token: "<|endoftext|>",
  unk_token: "<|endoftext|>",
  pad_token: "<|endoftext|>",
};
// In the order in which they are added, which decides the ids of those that the vocabulary lacks.
const NAMED_TOKENS = [
  "bos_token",
  "eos_token",
  "unk_token",
  "sep_token",
  "pad_token",
  "cls_token",
  "mask_token",
] as const;

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function asObject(file: string, value: unknown): Json {
  check(isObject(value), "bad-file", `${file}: expected a JSON object.`);
  return value;
}

function readVocabulary(file: string, value: unknown): Vocabulary {
  const entries = Object.entries(asObject(file, value));
  check(entries.length > 0, "bad-file", `${file}: the vocabulary is empty.`);
  for (const [token, id] of entries) {
    if (typeof id === "number" && Number.isInteger(id) && id >= 0 && id < MAX_ID) continue;
    throw new TintypeError(
      "bad-file",
      `${file}: expected an integer id for the token ${JSON.stringify(token)}, got ${String(id)}.`,
    );
  }
  return new Map(entries as [string, number][]);
}

function readMerge(file: string, value: unknown, i: number): Merge {
  const parts: unknown = typeof value === "string" ? value.split(" ") : value;
  if (Array.isArray(parts) && parts.length === 2) {
    const [left, right] = parts as unknown[];
    if (typeof left === "string" && typeof right === "string") return [left, right];
  }
  throw new TintypeError(
    "bad-file",
    `${file}: merge ${i + 1} is not a pair of tokens: ${JSON.stringify(value)}.`,
  );
}

function readMergesText(text: string): Merge[] {
  const lines = text.split(/\r?\n/);
  if (lines.at(-1) === "") lines.pop();
  return lines
    .filter((line) => !line.startsWith("#version"))
    .map((line, i) => readMerge("merges.txt", line, i));
}

function readModel(files: TokenizerFiles): { vocab: Vocabulary; merges: Merge[] } {
  if (files.tokenizerJson !== undefined) {
    const file = "tokenizer.json";
    const model = asObject(file, asObject(file, files.tokenizerJson).model);
    check(
      model.type === undefined || model.type === "BPE",
      "unsupported",
      `${file}: expected a BPE tokenizer such as CLIP's, got ${String(model.type)}.`,
    );
    check(Array.isArray(model.merges), "bad-file", `${file}: expected a list of merges.`);
    return {
      vocab: readVocabulary(file, model.vocab),
      merges: model.merges.map((merge: unknown, i) => readMerge(file, merge, i)),
    };
  }
  check(
    files.vocab !== undefined && files.merges !== undefined,
    "not-found",
    "tokenizer: expected tokenizer.json, or vocab.json and merges.txt, beside the model.",
  );
  return { vocab: readVocabulary("vocab.json", files.vocab), merges: readMergesText(files.merges) };
}

/** A token as the config files write it: its text, or an object with flags. */
function readToken(value: unknown): AddedToken | undefined {
  if (typeof value === "string" && value !== "") {
    const plain = { normalized: false, lstrip: false, rstrip: false, singleWord: false };
    return { content: value, ...plain };
  }
  if (!isObject(value) || typeof value.content !== "string" || value.content === "")
    return undefined;
  return {
    content: value.content,
    normalized: value.normalized === undefined ? value.special !== true : value.normalized === true,
    lstrip: value.lstrip === true,
    rstrip: value.rstrip === true,
    singleWord: value.single_word === true,
  };
}

/** Tokens that the files list with ids, in the order of the ids. */
function listedTokens(config: Json, json: unknown): AddedToken[] {
  const listed = isObject(config.added_tokens_decoder)
    ? Object.entries(config.added_tokens_decoder).map(([id, token]) => [Number(id), token] as const)
    : isObject(json) && Array.isArray(json.added_tokens)
      ? json.added_tokens.filter(isObject).map((token) => [Number(token.id), token] as const)
      : [];
  return listed
    .toSorted((a, b) => a[0] - b[0])
    .map(([, token]) => readToken(token))
    .filter((token) => token !== undefined);
}

/**
 * The tokenizer of a model, of any vocabulary, from its files. `maxLength` is used where
 * tokenizer_config.json states no model_max_length; 77 is CLIP's. Which file decides what follows
 * transformers 5.18, PreTrainedTokenizerBase._from_pretrained.
 */
export function loadTokenizer(files: TokenizerFiles, maxLength = 77): Tokenizer {
  const { vocab, merges } = readModel(files);
  const config = asObject("tokenizer_config.json", files.tokenizerConfig ?? {});
  const special = asObject("special_tokens_map.json", files.specialTokensMap ?? {});
  const named: Json = {
    ...DEFAULT_TOKENS,
    ...config,
    ...(config.added_tokens_decoder === undefined ? special : {}),
  };
  const added = new Map(listedTokens(config, files.tokenizerJson).map((t) => [t.content, t]));
  const listed = new Set(added.keys());
  const extra = named.additional_special_tokens ?? named.extra_special_tokens;
  const others: unknown[] = Array.isArray(extra) ? extra : [];
  for (const value of [...NAMED_TOKENS.map((name) => named[name]), ...others]) {
    const token = readToken(value);
    // A token may have several names; the flags that come last count.
    if (token !== undefined && !listed.has(token.content)) added.set(token.content, token);
  }
  const nameOf = (key: string): string =>
    (readToken(named[key]) ?? readToken(DEFAULT_TOKENS[key]))!.content;
  // Old files state "no limit" as 10^30.
  const stated = typeof config.model_max_length === "number" ? config.model_max_length : Infinity;
  return clipTokenizerOf({
    vocab,
    merges,
    startToken: nameOf("bos_token"),
    endToken: nameOf("eos_token"),
    padToken: nameOf("pad_token"),
    unknownToken: nameOf("unk_token"),
    addedTokens: [...added.values()],
    maxLength: stated < 1e6 ? stated : maxLength,
  });
}
