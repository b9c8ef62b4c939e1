import { TintypeError } from "../util/errors.js";

/** Token -> id. */
export type Vocabulary = ReadonlyMap<string, number>;

/** Two neighbouring tokens that become one; earlier pairs of a list are merged first. */
export type Merge = readonly [left: string, right: string];

/** What CLIP's vocabulary writes after the last token of a word. */
export const END_OF_WORD = "</w>";

/** Rank and result of a merge, by one number that stands for the pair of ids. */
interface MergeTable {
  readonly key: (left: number, right: number) => number;
  readonly rank: ReadonlyMap<number, number>;
  /** Id of the merged token, by rank. */
  readonly merged: Int32Array;
}

function mergeTable(vocab: Vocabulary, merges: readonly Merge[]): MergeTable {
  const idOf = (token: string, rank: number): number => {
    const id = vocab.get(token);
    if (id !== undefined) return id;
    throw new TintypeError(
      "bad-file",
      `tokenizer: merge ${rank + 1} ("${merges[rank]!.join(" ")}") needs the token "${token}", which ` +
        "the vocabulary lacks. Are vocab.json and merges.txt from the same model?",
    );
  };
  let width = 1;
  for (const id of vocab.values()) width = Math.max(width, id + 1);
  const key = (left: number, right: number): number => left * width + right;
  const rank = new Map<number, number>();
  const merged = new Int32Array(merges.length);
  for (const [i, [left, right]] of merges.entries()) {
    rank.set(key(idOf(left, i), idOf(right, i)), i);
    merged[i] = idOf(left + right, i);
  }
  return { key, rank, merged };
}

/**
 * Byte pair encoding of one word, which is at least one character long: characters (the last with
 * `</w>`) are merged, lowest rank and leftmost first, until no merge applies. Characters that the
 * vocabulary lacks are `unknown`. Source: Sennrich et al. 2016; Hugging Face tokenizers, models::BPE.
 */
export function bytePairEncoder(
  vocab: Vocabulary,
  merges: readonly Merge[],
  unknown: number,
): (word: string) => number[] {
  const { key, rank, merged } = mergeTable(vocab, merges);
  const rankOf = (left: number, right: number | undefined): number =>
    (right === undefined ? undefined : rank.get(key(left, right))) ?? Number.POSITIVE_INFINITY;

  return (word) => {
    const chars = [...word];
    chars.push(chars.pop() + END_OF_WORD);
    const ids = chars.map((char) => vocab.get(char) ?? unknown);
    const ranks = ids.map((id, i) => rankOf(id, ids[i + 1]));
    for (;;) {
      let best = 0;
      for (let i = 1; i < ranks.length; i++) if (ranks[i]! < ranks[best]!) best = i;
      if (ranks[best] === Number.POSITIVE_INFINITY) return ids;
      const id = merged[ranks[best]!]!;
      ids.splice(best, 2, id);
      ranks.splice(best, 2, rankOf(id, ids[best + 1]));
      if (best > 0) ranks[best - 1] = rankOf(ids[best - 1]!, id);
    }
  };
}
