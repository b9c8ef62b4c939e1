import * as op from "../../graph/ops.js";
import type { Value } from "../../graph/value.js";
import { embeddingTable, layerNorm } from "../../nn/layers.js";
import type { Params } from "../../nn/params.js";
import type { ClipTextConfig } from "./config.js";
import { clipEncoder } from "./encoder.js";

/** Key of the token table, whose rows may be looked up outside of the graph. */
export const TOKEN_TABLE = "embeddings.token_embedding";

/** The rows of the token table for ids [B,N] -> [B,N,C]. */
export function tokenEmbedding(p: Params, config: ClipTextConfig, ids: Value): Value {
  return op.gather(embeddingTable(p.at(TOKEN_TABLE), config.vocabSize, config.hiddenSize), ids);
}

/**
 * CLIP's text encoder on token embeddings [B,N,C] -> hidden states after the final norm [B,N,C].
 * Source: Radford et al. 2021; transformers CLIPTextModel.last_hidden_state.
 */
export function clipTextEncoder(p: Params, config: ClipTextConfig, tokens: Value): Value {
  const { hiddenSize, maxPositions, layerNormEps } = config;
  const positions = embeddingTable(p.at("embeddings.position_embedding"), maxPositions, hiddenSize);
  const states = clipEncoder(p.at("encoder"), config, op.add(tokens, positions), true);
  return layerNorm(p.at("final_layer_norm"), states.at(-1)!, layerNormEps);
}
