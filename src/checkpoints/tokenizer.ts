import { clipMerges, clipTokenizerFiles, loadTokenizer, type Tokenizer } from "../text/index.js";
import { parseJson } from "../util/bytes.js";
import type { ModelFiles, TokenizerFiles } from "./types.js";

/** Tokens that CLIP's prompts have. */
const CLIP_TOKENS = 77;

/** The files of a model's tokenizer; CLIP's own vocabulary where the model came without. */
export async function tokenizerFiles(tokenizer: ModelFiles["tokenizer"]): Promise<TokenizerFiles> {
  if (typeof tokenizer !== "string") return tokenizer;
  const files = clipTokenizerFiles(await clipMerges(), CLIP_TOKENS);
  if (tokenizer === "clip") return { ...files };
  const name = "tokenizer_config.json";
  const config = JSON.parse(files[name]) as object;
  return { ...files, [name]: `${JSON.stringify({ ...config, pad_token: "!" }, null, 2)}\n` };
}

/** The tokenizer that files describe; `model` is what messages call theirs. */
export function tokenizerOf(model: string, files: TokenizerFiles, maxLength: number): Tokenizer {
  const json = (name: string): unknown => {
    const content = files[name];
    return content === undefined ? undefined : parseJson(`${model}/tokenizer/${name}`, content);
  };
  const merges = files["merges.txt"];
  return loadTokenizer(
    {
      tokenizerJson: json("tokenizer.json"),
      vocab: json("vocab.json"),
      ...(merges === undefined ? {} : { merges }),
      tokenizerConfig: json("tokenizer_config.json"),
      specialTokensMap: json("special_tokens_map.json"),
    },
    maxLength,
  );
}
