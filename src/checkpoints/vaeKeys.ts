import type { KeyRule } from "./keyMap.js";

/** What decides where the VAE's numbered blocks stand. */
export interface VaeLayout {
  readonly levels: number;
  /** ResNet blocks a level in the encoder; one more in the decoder. */
  readonly layersPerBlock: number;
}

const RESNET = ["norm1", "conv1", "norm2", "conv2"];

/** Attention of the middle block: canonical, LDM's, diffusers' before 0.15. */
const ATTENTION: readonly (readonly [ours: string, ldm: string, old: string])[] = [
  ["group_norm", "norm", "group_norm"],
  ["to_q", "q", "query"],
  ["to_k", "k", "key"],
  ["to_v", "v", "value"],
  ["to_out.0", "proj_out", "proj_attn"],
];

function resnet(ours: string, theirs: string): KeyRule[] {
  const same = RESNET.map((part) => ({ ours: `${ours}.${part}`, theirs: `${theirs}.${part}` }));
  return [...same, { ours: `${ours}.conv_shortcut`, theirs: `${theirs}.nin_shortcut` }];
}

/** The parts that encoder and decoder share. */
function half(side: "encoder" | "decoder"): KeyRule[] {
  const mid = `${side}.mid_block`;
  return [
    { ours: `${side}.conv_in`, theirs: `${side}.conv_in` },
    { ours: `${side}.conv_norm_out`, theirs: `${side}.norm_out` },
    { ours: `${side}.conv_out`, theirs: `${side}.conv_out` },
    ...resnet(`${mid}.resnets.0`, `${side}.mid.block_1`),
    ...resnet(`${mid}.resnets.1`, `${side}.mid.block_2`),
    ...ATTENTION.map(([ours, theirs]): KeyRule => {
      const names = { ours: `${mid}.attentions.0.${ours}`, theirs: `${side}.mid.attn_1.${theirs}` };
      return ours === "group_norm" ? names : { ...names, view: "linear" };
    }),
  ];
}

const QUANT: readonly KeyRule[] = ["quant_conv", "post_quant_conv"].map((name) => ({
  ours: name,
  theirs: name,
}));

/**
 * Key map between the AutoencoderKL of the latent diffusion code (without `first_stage_model.`)
 * and diffusers'. LDM numbers the decoder's levels from fine to coarse, diffusers in running
 * order; LDM's attention is made of 1x1 convolutions. Source: CompVis ldm/modules/diffusionmodules/model.py,
 * diffusers autoencoder_kl.py.
 */
export function ldmVaeRules({ levels, layersPerBlock }: VaeLayout): KeyRule[] {
  const rules = [...half("encoder"), ...half("decoder"), ...QUANT];
  const last = levels - 1;
  for (let level = 0; level < levels; level++) {
    const down = { ours: `encoder.down_blocks.${level}`, theirs: `encoder.down.${level}` };
    const up = { ours: `decoder.up_blocks.${level}`, theirs: `decoder.up.${last - level}` };
    for (let i = 0; i <= layersPerBlock; i++) {
      if (i < layersPerBlock) {
        rules.push(...resnet(`${down.ours}.resnets.${i}`, `${down.theirs}.block.${i}`));
      }
      rules.push(...resnet(`${up.ours}.resnets.${i}`, `${up.theirs}.block.${i}`));
    }
    if (level === last) continue;
    rules.push(
      { ours: `${down.ours}.downsamplers.0.conv`, theirs: `${down.theirs}.downsample.conv` },
      { ours: `${up.ours}.upsamplers.0.conv`, theirs: `${up.theirs}.upsample.conv` },
    );
  }
  return rules;
}

/** Key map of diffusers VAE files, of today (the identity) and of before 0.15 (`query`, `proj_attn`). */
export function diffusersVaeRules(): KeyRule[] {
  const rules = ["encoder", "decoder", "quant_conv", "post_quant_conv"].map(
    (name): KeyRule => ({ ours: name, theirs: name }),
  );
  for (const side of ["encoder", "decoder"]) {
    const attention = `${side}.mid_block.attentions.0`;
    for (const [ours, , old] of ATTENTION) {
      if (ours === old) continue;
      const name = `${attention}.${ours}`;
      rules.push(
        { ours: name, theirs: name, view: "linear" },
        { ours: name, theirs: `${attention}.${old}`, view: "linear" },
      );
    }
  }
  return rules;
}
