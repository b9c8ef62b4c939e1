import type { KeyRule } from "./keyMap.js";

const CLIP_MODULES = ["embeddings", "encoder", "final_layer_norm"];

/** Key map of CLIP text encoders as transformers writes them: up to version 5.5 under `text_model.`. */
export function transformersClipRules(prefix: "" | "text_model."): KeyRule[] {
  return CLIP_MODULES.map((ours) => ({ ours, theirs: prefix + ours }));
}

/** A layer's modules: canonical, OpenCLIP's. */
const LAYER: readonly (readonly [ours: string, theirs: string])[] = [
  ["layer_norm1", "ln_1"],
  ["self_attn.out_proj", "attn.out_proj"],
  ["layer_norm2", "ln_2"],
  ["mlp.fc1", "mlp.c_fc"],
  ["mlp.fc2", "mlp.c_proj"],
];

/**
 * Key map between OpenCLIP's text encoder (without `cond_stage_model.model.`) of `layers` layers
 * and transformers'. Queries, keys and values are thirds of one matrix there, in this order
 * (torch.nn.MultiheadAttention). Source: open_clip transformer.py, diffusers single_file_utils.py.
 */
export function openClipRules(layers: number): KeyRule[] {
  const rules: KeyRule[] = [
    { ours: "embeddings.token_embedding", theirs: "token_embedding" },
    { ours: "embeddings.position_embedding.weight", theirs: "positional_embedding" },
    { ours: "final_layer_norm", theirs: "ln_final" },
  ];
  for (let i = 0; i < layers; i++) {
    const ours = `encoder.layers.${i}`;
    const theirs = `transformer.resblocks.${i}`;
    for (const [a, b] of LAYER) rules.push({ ours: `${ours}.${a}`, theirs: `${theirs}.${b}` });
    for (const view of [0, 1, 2] as const) {
      const proj = `${ours}.self_attn.${"qkv"[view]}_proj`;
      rules.push(
        { ours: `${proj}.weight`, theirs: `${theirs}.attn.in_proj_weight`, view },
        { ours: `${proj}.bias`, theirs: `${theirs}.attn.in_proj_bias`, view },
      );
    }
  }
  return rules;
}
