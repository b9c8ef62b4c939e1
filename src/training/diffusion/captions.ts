import { TOKEN_TABLE } from "../../models/clip/model.js";
import { textGraph } from "../../pipelines/graphs.js";
import { lookUpTokens } from "../../pipelines/textEmbedding.js";
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
  config: Pick<DiffusionConfig, "text" | "cache">,
  context: TaskContext,
  parts: Pick<DiffusionParts, "text" | "tokenizer">,
  { captions }: ExampleSource,
): Promise<CaptionEncoder> {
  if (config.text.train) return { encode: tokens(parts), [Symbol.asyncDispose]: async () => {} };
  const frozen = await frozenEncoder(context, parts);
  if (config.cache === undefined || captions === undefined) return frozen;
  await using _ = frozen;
  const { platform, signal } = context;
  const key = await digest(platform, parts.text.weights);
  const options = { platform, folder: config.cache, key, batchSize: ENCODED_AT_ONCE, signal };
  const kept = await cacheEmbeddings(["", ...captions], frozen.encode, options);
  return { encode: kept.read, [Symbol.asyncDispose]: async () => {} };
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
