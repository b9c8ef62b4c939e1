import type { KeyRule } from "./keyMap.js";

/** What decides where LDM's numbered blocks stand. A UNetConfig is one. */
export interface UNetLayout {
  readonly blocks: readonly ("resnet" | "crossAttention")[];
  /** ResNet blocks a level on the way down. */
  readonly layersPerBlock: number;
}

const OUTER: readonly (readonly [ours: string, theirs: string])[] = [
  ["time_embedding.linear_1", "time_embed.0"],
  ["time_embedding.linear_2", "time_embed.2"],
  ["conv_in", "input_blocks.0.0"],
  ["conv_norm_out", "out.0"],
  ["conv_out", "out.2"],
];

const RESNET: readonly (readonly [ours: string, theirs: string])[] = [
  ["norm1", "in_layers.0"],
  ["conv1", "in_layers.2"],
  ["time_emb_proj", "emb_layers.1"],
  ["norm2", "out_layers.0"],
  ["conv2", "out_layers.3"],
  ["conv_shortcut", "skip_connection"],
];

function resnet(ours: string, theirs: string): KeyRule[] {
  return RESNET.map(([a, b]) => ({ ours: `${ours}.${a}`, theirs: `${theirs}.${b}` }));
}

/**
 * Key map between the UNet of the latent diffusion code (`input_blocks.1.0.in_layers.0.weight`,
 * without its `model.diffusion_model.`) and diffusers' (`down_blocks.0.resnets.0.norm1.weight`).
 * LDM counts: input_blocks.0 is conv_in, then per level its layers and a downsampler; a level of
 * output_blocks has one layer more, the last of them followed by the upsampler.
 * Source: CompVis openaimodel.py (UNetModel), diffusers UNet2DConditionModel.
 */
export function ldmUNetRules({ blocks, layersPerBlock }: UNetLayout): KeyRule[] {
  const rules: KeyRule[] = OUTER.map(([ours, theirs]) => ({ ours, theirs }));
  const stride = layersPerBlock + 1;
  const last = blocks.length - 1;
  blocks.forEach((block, level) => {
    const down = `down_blocks.${level}`;
    for (let i = 0; i < layersPerBlock; i++) {
      const theirs = `input_blocks.${1 + level * stride + i}`;
      rules.push(...resnet(`${down}.resnets.${i}`, `${theirs}.0`));
      if (block === "resnet") continue;
      rules.push({ ours: `${down}.attentions.${i}`, theirs: `${theirs}.1` });
    }
    if (level === last) return;
    const theirs = `input_blocks.${(level + 1) * stride}.0.op`;
    rules.push({ ours: `${down}.downsamplers.0.conv`, theirs });
  });
  rules.push(...resnet("mid_block.resnets.0", "middle_block.0"));
  rules.push({ ours: "mid_block.attentions.0", theirs: "middle_block.1" });
  rules.push(...resnet("mid_block.resnets.1", "middle_block.2"));
  for (let level = 0; level <= last; level++) {
    const up = `up_blocks.${level}`;
    const attends = blocks[last - level] === "crossAttention";
    for (let i = 0; i < stride; i++) {
      const theirs = `output_blocks.${level * stride + i}`;
      rules.push(...resnet(`${up}.resnets.${i}`, `${theirs}.0`));
      if (attends) rules.push({ ours: `${up}.attentions.${i}`, theirs: `${theirs}.1` });
    }
    if (level === last) continue;
    const theirs = `output_blocks.${level * stride + layersPerBlock}.${attends ? 2 : 1}.conv`;
    rules.push({ ours: `${up}.upsamplers.0.conv`, theirs });
  }
  return rules;
}
