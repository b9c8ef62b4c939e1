import { TintypeError } from "../util/errors.js";

/** Token -> id. */
export type Vocabulary = ReadonlyMap<string, number>;

/** Two neighbouring tokens that become one; earlier pairs of a list are merged first. */
export type Merge = readonly [left: string, right: string];

/** What CLIP's vocabulary writes after the last token of a word. */
export const END_OF_WORD = "</w>";

/** Rank and result of every merge, by the ids of the pair. */
function mergeTable(
  vocab: Vocabulary,
  merges: readonly Merge[],
): Map<number, Map<number, number[]>> {
  const table = new Map<number, Map<number, number[]>>();
  for (const [rank, [left, right]] of merges.entries()) {
    const ids = [left, right, left + right].map((token) => {
      const id = vocab.get(token);
      if (id !== undefined) return id;
      throw new TintypeError(
        "bad-file",
        `tokenizer: merge ${rank + 1} ("${left} ${right}") needs the token "${token}", which the ` +
          "vocabulary lacks. Are vocab.json and merges.txt from the same model?",
      );
    });
    const row = table.get(ids[0]!) ?? new Map<number, number[]>();
    table.set(ids[0]!, row.set(ids[1]!, [rank, ids[2]!]));
  }
  return table;
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
  const table = mergeTable(vocab, merges);
  const rankOf = (left: number, right: number | undefined): number =>
    (right === undefined ? undefined : table.get(left)?.get(right)?.[0]) ??
    Number.POSITIVE_INFINITY;

  return (word) => {
    const chars = [...word];
    chars.push(chars.pop() + END_OF_WORD);
    const ids = chars.map((char) => vocab.get(char) ?? unknown);
    const ranks = ids.map((id, i) => rankOf(id, ids[i + 1]));
    for (;;) {
      let best = 0;
      for (let i = 1; i < ranks.length; i++) if (ranks[i]! < ranks[best]!) best = i;
      if (ranks[best] === Number.POSITIVE_INFINITY) return ids;
      const merged = table.get(ids[best]!)!.get(ids[best + 1]!)![1]!;
      ids.splice(best, 2, merged);
      ranks.splice(best, 2, rankOf(merged, ids[best + 1]));
      if (best > 0) ranks[best - 1] = rankOf(ids[best - 1]!, merged);
    }
  };
}
