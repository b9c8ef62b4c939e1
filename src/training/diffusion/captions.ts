import { TOKEN_TABLE } from "../../models/clip/model.js";
import { textGraph } from "../../pipelines/graphs.js";
import { lookUpTokens } from "../../pipelines/textEmbedding.js";
import type { TorchGenerator } from "../../tensor/mt19937.js";
import { type Tensor, tensor } from "../../tensor/tensor.js";
import { cacheEmbeddings } from "../data/index.js";
import type { TaskContext } from "../task.js";
import type { DiffusionConfig } from "./config.js";
import { digest, type ExampleSource } from "./examples.js";
import type { DiffusionParts } from "./parts.js";

/** Captions as the training program takes them. */
export interface CaptionEncoder extends AsyncDisposable {
  /** Token ids [n,N] where the text encoder is trained, else its hidden states [n,N,D]. */
  encode(captions: readonly string[]): Promise<Tensor>;
}

/** Captions encoded at a time when a cache is filled. */
const ENCODED_AT_ONCE = 16;

/** Opens what stands between captions and the training program. */
export async function openCaptions(
  config: Pick<DiffusionConfig, "text" | "cache" | "wordDropout">,
  context: TaskContext,
  parts: Pick<DiffusionParts, "text" | "tokenizer">,
  { captions }: ExampleSource,
): Promise<CaptionEncoder> {
  if (config.text.train) return { encode: tokens(parts), [Symbol.asyncDispose]: async () => {} };
  const frozen = await frozenEncoder(context, parts);
  // Captions that lack other words at every step are too many to keep.
  const repeat = captions !== undefined && config.wordDropout === 0;
  if (config.cache === undefined || !repeat) return frozen;
  await using _ = frozen;
  const { platform, signal } = context;
  const key = await digest(platform, parts.text.weights);
  const options = { platform, folder: config.cache, key, batchSize: ENCODED_AT_ONCE, signal };
  const kept = await cacheEmbeddings(["", ...captions], frozen.encode, options);
  return { encode: kept.read, [Symbol.asyncDispose]: async () => {} };
}

/**
 * Captions as a step learns from them: some are empty (`captionDropout`), the others lack some of
 * their words (`wordDropout`). `random` gives a stream of uniform numbers for each purpose.
 */
export function dropCaptions(
  captions: readonly string[],
  {
    conditioning,
    captionDropout,
    wordDropout,
  }: Pick<DiffusionConfig, "conditioning" | "captionDropout" | "wordDropout">,
  random: (purpose: string) => TorchGenerator,
): string[] {
  const whole = random("caption dropout").rand(captions.length);
  const words = random("word dropout");
  return captions.map((caption, i) => {
    if (conditioning === "none" || whole[i]! < captionDropout) return "";
    if (wordDropout === 0) return caption;
    const all = caption.split(/\s+/);
    const chances = words.rand(all.length);
    return all.filter((_, j) => chances[j]! >= wordDropout).join(" ");
  });
}

function tokens({ tokenizer }: Pick<DiffusionParts, "tokenizer">): CaptionEncoder["encode"] {
  return async (captions) => {
    const ids = captions.flatMap((caption) => [...tokenizer.encode(caption).ids]);
    return tensor([captions.length, tokenizer.maxLength], Float32Array.from(ids));
  };
}

async function frozenEncoder(
  { engine }: TaskContext,
  { text, tokenizer }: Pick<DiffusionParts, "text" | "tokenizer">,
): Promise<CaptionEncoder> {
  const program = await engine.load(textGraph(text.config), text.weights, {
    label: "frozen text encoder",
  });
  const table = text.weights.get(`${TOKEN_TABLE}.weight`)!;
  return {
    async encode(captions) {
      const ids = captions.map((caption) => tokenizer.encode(caption).ids);
      const rows = await lookUpTokens(table, ids, "the text encoder");
      return (await program.run({ tokens: rows })).hidden!;
    },
    [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
  };
}
