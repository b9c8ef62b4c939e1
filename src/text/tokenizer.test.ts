import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  clipMerges,
  clipTokenizer,
  clipVocabulary,
  loadTokenizer,
  type Tokenizer,
} from "./index.js";

type Case = [prompt: string, ids: number[], truncated: string | null];
interface Golden {
  readonly name: string;
  readonly merges: number;
  readonly json?: boolean;
  readonly addedTokens?: unknown;
  readonly files: { readonly tokenizerConfig?: unknown; readonly specialTokensMap?: unknown };
  readonly maxLength: number;
  readonly vocabSize: number;
  readonly padId: number;
  readonly cases: readonly Case[];
}

const path = process.env.TINTYPE_TOKENIZER_CASES ?? "test/golden/text/cases.json";
const goldens = JSON.parse(readFileSync(path, "utf8")) as Golden[];
const merges = await clipMerges();

/** The model files that the golden script wrote. */
function load(golden: Golden): Tokenizer {
  const kept = merges.slice(0, golden.merges);
  const vocab = Object.fromEntries(clipVocabulary(kept));
  if (golden.json) {
    const model = { type: "BPE", vocab, merges: kept };
    return loadTokenizer({
      ...golden.files,
      tokenizerJson: { model, added_tokens: golden.addedTokens },
    });
  }
  const lines = kept.map((merge) => merge.join(" "));
  return loadTokenizer({
    ...golden.files,
    vocab,
    merges: `#version: 0.2\n${lines.join("\n")}\n`,
  });
}

function expectCases(tokenizer: Tokenizer, golden: Golden): void {
  const wrong = golden.cases.flatMap(([prompt, ids, truncated]) => {
    const got = tokenizer.encode(prompt);
    const padded = Array.from({ length: golden.maxLength }, (_, i) => ids[i] ?? golden.padId);
    const same = JSON.stringify([...got.ids]) === JSON.stringify(padded);
    return same && (got.truncated ?? null) === truncated
      ? []
      : [`${JSON.stringify(prompt)}: [${ids}] got [${got.ids.subarray(0, got.length)}]`];
  });
  expect(wrong.slice(0, 10).join("\n")).toBe("");
  expect(golden.cases.length).toBeGreaterThan(50);
}

describe.each(goldens)("the tokenizer folder $name", (golden) => {
  it("gives the ids of CLIPTokenizer", () => {
    const tokenizer = load(golden);
    expect(tokenizer.maxLength).toBe(golden.maxLength);
    expect(tokenizer.vocabSize).toBe(golden.vocabSize);
    expectCases(tokenizer, golden);
  });
});

describe("the embedded tokenizer", () => {
  it.each([
    ["sd1", "<|endoftext|>"],
    ["sd2", "!"],
  ] as const)("equals the %s folder", async (name, padToken) => {
    expectCases(await clipTokenizer({ padToken }), goldens.find((g) => g.name === name)!);
  });

  it("reads ids back", async () => {
    const { encode, decode } = await clipTokenizer({ padToken: "<|endoftext|>" });
    const { ids, length, truncated } = encode("It's  a CAFÉ, 3 日本 🎨!");
    expect(length).toBe(13);
    expect(truncated).toBeUndefined();
    expect(decode(ids.subarray(1, length - 1))).toBe("it 's a café , 3 日本 🎨!");
  });

  it("reads a lone surrogate as U+FFFD", async () => {
    const { encode } = await clipTokenizer({ padToken: "!" });
    expect(encode("a\ud800b").ids).toEqual(encode("a\ufffdb").ids);
  });
});

describe("tokenizer files that are wrong", () => {
  const vocab = Object.fromEntries(clipVocabulary(merges.slice(0, 3)));

  it.each([
    ["nothing at all", {}, /tokenizer\.json, or vocab\.json and merges\.txt/],
    ["no merges", { vocab }, /merges\.txt/],
    ["a list for a vocabulary", { vocab: [], merges: "" }, /vocab\.json: expected a JSON object/],
    ["an empty vocabulary", { vocab: {}, merges: "" }, /vocabulary is empty/],
    [
      "an id that is none",
      { vocab: { a: 1.5 }, merges: "" },
      /integer id for the token "a", got 1\.5/,
    ],
    ["half a merge", { vocab, merges: "a\n" }, /merge 1 is not a pair of tokens: "a"/],
    ["a foreign merge", { vocab, merges: "z z\n" }, /merge 1 \("z z"\) needs the token "zz"/],
    ["a Unigram model", { tokenizerJson: { model: { type: "Unigram" } } }, /BPE.*Unigram/],
    [
      "no room for the start and end",
      { vocab, merges: "", tokenizerConfig: { model_max_length: 1 } },
      /maxLength must be an integer of at least 2, got 1/,
    ],
  ])("%s", (_, files, message) => {
    expect(() => loadTokenizer(files)).toThrow(message);
  });
});
