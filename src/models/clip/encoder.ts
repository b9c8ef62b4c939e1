import { gelu, quickGelu } from "../../graph/composites.js";
import * as op from "../../graph/ops.js";
import type { Value } from "../../graph/value.js";
import { multiHeadAttention } from "../../nn/attention.js";
import { layerNorm, linear } from "../../nn/layers.js";
import { type Init, type Params, withInit } from "../../nn/params.js";
import type { ClipActivation } from "./config.js";

const ACTIVATIONS: Readonly<Record<ClipActivation, (x: Value) => Value>> = {
  gelu,
  quick_gelu: quickGelu,
};

/** What the text and the image encoder have in common. */
export interface ClipEncoderConfig {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly activation: ClipActivation;
  readonly layerNormEps: number;
}

/**
 * The transformer layers of either encoder: x [B,N,C] -> the states after each layer [B,N,C], the
 * last of them last. `causal` hides from each token the ones after it. They start as transformers'
 * CLIPEncoderLayer does. Source: Radford et al. 2021; transformers CLIPEncoder.
 */
export function clipEncoder(
  p: Params,
  config: ClipEncoderConfig,
  x: Value,
  causal: boolean,
): readonly Value[] {
  const states: Value[] = [];
  let h = x;
  for (let i = 0; i < config.layers; i++) {
    h = encoderLayer(p.at("layers").at(i), config, h, causal);
    states.push(h);
  }
  return states;
}

/** Normal numbers and no bias. */
function normal(p: Params, std: number): Params {
  const zeros: Init = { kind: "constant", value: 0 };
  return withInit(p, { weight: { kind: "normal", std }, bias: zeros });
}

/** Pre-norm transformer layer: self-attention, then an MLP. */
function encoderLayer(p: Params, config: ClipEncoderConfig, x: Value, causal: boolean): Value {
  const { heads, hiddenSize, intermediateSize, layerNormEps, layers } = config;
  const [width, depth] = [hiddenSize ** -0.5, (2 * layers) ** -0.5];
  const before = layerNorm(p.at("layer_norm1"), x, layerNormEps);
  const attended = multiHeadAttention(
    attentionInit(p.at("self_attn"), width, depth),
    before,
    before,
    {
      heads,
      qkvBias: true,
      causal,
      names: ["q_proj", "k_proj", "v_proj", "out_proj"],
    },
  );
  const h = op.add(x, attended);
  const after = layerNorm(p.at("layer_norm2"), h, layerNormEps);
  const [fc1, fc2] = [p.at("mlp.fc1"), p.at("mlp.fc2")];
  const inner = linear(normal(fc1, (2 * hiddenSize) ** -0.5), after, intermediateSize);
  const mixed = linear(
    normal(fc2, width * depth),
    ACTIVATIONS[config.activation](inner),
    hiddenSize,
  );
  return op.add(h, mixed);
}

/** The output projection starts wider than those of queries, keys and values. */
function attentionInit(p: Params, width: number, depth: number): Params {
  const at: Params["at"] = (name) =>
    normal(p.at(name), name === "out_proj" ? width : width * depth);
  return { ...p, at };
}
