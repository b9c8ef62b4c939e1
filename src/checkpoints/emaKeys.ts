import type { StoredTensor, StoredTensors } from "../tensor/stored.js";

/*
 * LitEma keeps the averaged weights as buffers, whose names may hold no dots: it leaves them out,
 * `diffusion_model.input_blocks.1.0.in_layers.0.weight` -> `diffusion_modelinput_blocks10in_layers0weight`.
 * Source: CompVis ldm/modules/ema.py.
 */

/** Words of a UNet's keys that end in, or hold, what could be taken for an index or two words. */
const WORDS =
  /^(?:time_embed|label_emb|input_blocks|middle_block|output_blocks|in_layers|out_layers|emb_layers|skip_connection|transformer_blocks|proj_in|proj_out|attn1|attn2|norm1|norm2|norm3|norm|to_q|to_k|to_v|to_out|ff|net|proj|conv|op|out|weight|bias)/;

/** A block's index in two parts, `111` = 11.1: the second is the place in a block of at most three. */
const BLOCK_INDEX = /^(\d+)(\d)(?=\D)/;

/** Puts the dots back into an averaged UNet weight's name; undefined where it is none. */
export function emaKeyWithDots(key: string): string | undefined {
  let rest = key;
  const parts: string[] = [];
  while (rest !== "") {
    const twoPart = /put_blocks$/.test(parts.at(-1) ?? "") ? BLOCK_INDEX.exec(rest) : null;
    const part = twoPart ?? WORDS.exec(rest) ?? /^\d+/.exec(rest);
    if (part === null) return undefined;
    parts.push(...(twoPart === null ? [part[0]] : [twoPart[1]!, twoPart[2]!]));
    rest = rest.slice(part[0].length);
  }
  return parts.join(".");
}

const PREFIX = "model_ema.diffusion_model";

/** The averaged UNet of a file under LDM's ordinary keys (without `model.diffusion_model.`). */
export function emaUNet(tensors: StoredTensors): StoredTensors {
  const out = new Map<string, StoredTensor>();
  for (const [key, tensor] of tensors) {
    if (!key.startsWith(PREFIX)) continue;
    const rest = key.slice(PREFIX.length);
    out.set(emaKeyWithDots(rest) ?? rest, tensor);
  }
  return out;
}

/** The dotless key of an averaged weight. */
export function emaKey(ldmKey: string): string {
  return PREFIX + ldmKey.replaceAll(".", "");
}
