import { describe, expect, it } from "vitest";
import { END_OF_WORD, type Merge } from "./bpe.js";
import {
  clipTokenizerFiles,
  clipTokenizerOf,
  clipVocabulary,
  loadTokenizer,
  type Tokenizer,
  trainBpe,
} from "./index.js";

/** The definition, word for word: count every pair of every word anew before each merge. */
function byDefinition(words: readonly string[], n: number, minFrequency: number): Merge[] {
  let corpus = words.map((word) => [...word.slice(0, -1), word.at(-1)! + END_OF_WORD]);
  const merges: Merge[] = [];
  while (merges.length < n) {
    const counts = new Map<string, number>();
    for (const tokens of corpus) {
      for (let i = 1; i < tokens.length; i++) {
        const pair = `${tokens[i - 1]} ${tokens[i]}`;
        counts.set(pair, (counts.get(pair) ?? 0) + 1);
      }
    }
    const [best] = [...counts]
      .filter(([, count]) => count >= minFrequency)
      .sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
    if (best === undefined) break;
    const [left, right] = best[0].split(" ") as [string, string];
    merges.push([left, right]);
    corpus = corpus.map((tokens) => {
      const out: string[] = [];
      for (const token of tokens) {
        if (out.at(-1) === left && token === right) out[out.length - 1] = `\0${left}${right}`;
        else out.push(token);
      }
      // The mark keeps a token that was just made from being merged once more.
      return out.map((token) => token.replace("\0", ""));
    });
  }
  return merges;
}

function tokenizerOf(merges: readonly Merge[]): Tokenizer {
  return clipTokenizerOf({
    vocab: clipVocabulary(merges),
    merges,
    startToken: "<|startoftext|>",
    endToken: "<|endoftext|>",
    padToken: "<|endoftext|>",
    unknownToken: "<|endoftext|>",
    addedTokens: [],
    maxLength: 32,
  });
}

const LOW =
  "low low low low low lower lower newest newest newest newest newest newest widest widest widest";
const ROW = "aaaa aaa aa a aaaaa abab ababab baba";

describe("trainBpe", () => {
  it.each([
    ["the example of Sennrich et al.", LOW, 1],
    ["runs of one letter", ROW, 1],
    ["what occurs twice", `${LOW} ${ROW} once`, 2],
  ])("learns as the definition says: %s", (_, text, minFrequency) => {
    const expected = byDefinition(text.split(" "), 100, minFrequency);
    expect(trainBpe([text], { merges: 100, minFrequency })).toEqual(expected);
    expect(trainBpe([text], { merges: 4, minFrequency })).toEqual(expected.slice(0, 4));
    expect(expected.length).toBeGreaterThan(8);
  });

  it("does not depend on the order of the texts, nor on the case of letters", () => {
    const words = `${LOW} ${ROW}`.split(" ");
    const merges = trainBpe(words, { merges: 50 });
    expect(trainBpe(words.toReversed(), { merges: 50 })).toEqual(merges);
    expect(trainBpe([words.join("\n").toUpperCase()], { merges: 50 })).toEqual(merges);
  });

  it("gives a tokenizer whose tokens are the words it has seen, and that spells all others", () => {
    const { encode, decode } = tokenizerOf(trainBpe([LOW], { merges: 100 }));
    expect(encode("newest lower low, widest").length).toBe(2 + 5);
    const { ids, length } = encode("größer 日本");
    expect(decode(ids.subarray(1, length - 1))).toBe("größer 日本");
  });

  it("stops where no pair is left", () => {
    expect(trainBpe([], { merges: 5 })).toEqual([]);
    expect(trainBpe(["a b c d"], { merges: 5 })).toEqual([]);
    expect(trainBpe(["ab"], { merges: 5 })).toEqual([]);
    expect(trainBpe(["ab"], { merges: 5, minFrequency: 1 })).toEqual([["a", `b${END_OF_WORD}`]]);
  });
});

describe("clipTokenizerFiles", () => {
  it("are read back as the tokenizer of these merges", () => {
    const merges = trainBpe([LOW, ROW, "don't # 1 2"], { merges: 30, minFrequency: 1 });
    const files = clipTokenizerFiles(merges, 32);
    const read = loadTokenizer({
      vocab: JSON.parse(files["vocab.json"]),
      merges: files["merges.txt"],
      tokenizerConfig: JSON.parse(files["tokenizer_config.json"]),
    });
    const made = tokenizerOf(merges);
    expect([read.maxLength, read.vocabSize]).toEqual([32, 512 + merges.length + 2]);
    for (const text of ["lower # newest", "abab don't", "日本 12"]) {
      expect(read.encode(text)).toEqual(made.encode(text));
    }
  });
});
