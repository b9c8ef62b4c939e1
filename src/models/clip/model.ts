import { gelu, quickGelu } from "../../graph/composites.js";
import * as op from "../../graph/ops.js";
import type { Value } from "../../graph/value.js";
import { multiHeadAttention } from "../../nn/attention.js";
import { embeddingTable, layerNorm, linear } from "../../nn/layers.js";
import type { Params } from "../../nn/params.js";
import type { ClipActivation, ClipTextConfig } from "./config.js";

const ACTIVATIONS: Readonly<Record<ClipActivation, (x: Value) => Value>> = {
  gelu,
  quick_gelu: quickGelu,
};

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
  let h = op.add(tokens, positions);
  for (let i = 0; i < config.layers; i++) h = encoderLayer(p.at("encoder.layers").at(i), config, h);
  return layerNorm(p.at("final_layer_norm"), h, layerNormEps);
}

/** Pre-norm transformer layer: causal self-attention, then an MLP. */
function encoderLayer(p: Params, config: ClipTextConfig, x: Value): Value {
  const { heads, hiddenSize, intermediateSize, layerNormEps } = config;
  const normal = layerNorm(p.at("layer_norm1"), x, layerNormEps);
  const attended = multiHeadAttention(p.at("self_attn"), normal, normal, {
    heads,
    qkvBias: true,
    causal: true,
    names: ["q_proj", "k_proj", "v_proj", "out_proj"],
  });
  const h = op.add(x, attended);
  const mlp = p.at("mlp");
  const inner = linear(
    mlp.at("fc1"),
    layerNorm(p.at("layer_norm2"), h, layerNormEps),
    intermediateSize,
  );
  return op.add(h, linear(mlp.at("fc2"), ACTIVATIONS[config.activation](inner), hiddenSize));
}
