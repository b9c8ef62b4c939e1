import { END_OF_WORD, type Merge } from "./bpe.js";
import { toByteLevel } from "./byteLevel.js";
import { normalize, splitWords } from "./tokenizer.js";

/** Options of `trainBpe`. */
export interface TrainBpeOptions {
  /** The most merges to learn; fewer where no pair is left. */
  readonly merges: number;
  /** A pair must occur this often. Default 2. */
  readonly minFrequency?: number;
}

/** A word as the tokens it has so far, and how often it occurs. */
interface Word {
  tokens: string[];
  readonly count: number;
}

/** Pairs of neighbours, by a key that no two pairs share: tokens hold no space. */
const keyOf = (left: string, right: string): string => `${left} ${right}`;

/** How often each word of the texts occurs, byte by byte, the last one with `</w>`. */
function countWords(texts: Iterable<string>): Word[] {
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const word of splitWords(normalize(text))) counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return [...counts].map(([word, count]) => {
    const tokens = [...toByteLevel(word)];
    tokens.push(tokens.pop() + END_OF_WORD);
    return { tokens, count };
  });
}

/** The pairs of all words: how often each occurs, and in which words. */
interface PairTable {
  readonly counts: Map<string, number>;
  readonly words: Map<string, Set<number>>;
}

function count(table: PairTable, { tokens, count }: Word, index: number, sign: 1 | -1): void {
  for (let i = 0; i + 1 < tokens.length; i++) {
    const key = keyOf(tokens[i]!, tokens[i + 1]!);
    table.counts.set(key, (table.counts.get(key) ?? 0) + sign * count);
    const words = table.words.get(key);
    if (words === undefined) table.words.set(key, new Set([index]));
    else words.add(index);
  }
}

/** The pair that occurs most often; of equals, the first in the order of characters. */
function mostFrequent(counts: ReadonlyMap<string, number>, least: number): string | undefined {
  let best: string | undefined;
  let most = least - 1;
  for (const [key, n] of counts) {
    if (n > most || (n === most && best !== undefined && key < best)) [best, most] = [key, n];
  }
  return best;
}

/** The tokens of a word with each `left right`, from the left, made one. */
function merged(tokens: readonly string[], left: string, right: string): string[] {
  const out: string[] = [];
  for (let i = 0; i < tokens.length; i++) {
    const joins = tokens[i] === left && tokens[i + 1] === right;
    out.push(joins ? left + right : tokens[i]!);
    if (joins) i++;
  }
  return out;
}

/**
 * Learns the merges of a byte-level BPE from texts, as CLIP's tokenizer splits them into words: the
 * most frequent pair of neighbouring tokens first, and of equally frequent ones the first in the
 * order of their UTF-16 codes, so that the same texts, in any order, give the same merges. Source:
 * Sennrich et al. 2016, algorithm 1.
 */
export function trainBpe(texts: Iterable<string>, options: TrainBpeOptions): Merge[] {
  const { minFrequency = 2 } = options;
  const words = countWords(texts);
  const table: PairTable = { counts: new Map(), words: new Map() };
  for (const [i, word] of words.entries()) count(table, word, i, 1);
  const merges: Merge[] = [];
  while (merges.length < options.merges) {
    const key = mostFrequent(table.counts, minFrequency);
    if (key === undefined) break;
    const [left, right] = key.split(" ") as [string, string];
    merges.push([left, right]);
    for (const i of table.words.get(key)!) {
      const word = words[i]!;
      count(table, word, i, -1);
      word.tokens = merged(word.tokens, left, right);
      count(table, word, i, 1);
    }
    table.counts.delete(key);
    table.words.delete(key);
  }
  return merges;
}
