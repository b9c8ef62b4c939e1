import type { IgnoredKeys } from "./types.js";

/** Keys that single files hold and no model needs. */
const RULES: readonly (readonly [rule: string, key: RegExp])[] = [
  ["position ids, which count from 0", /(^|\.)position_ids$/],
  [
    "buffers of the noise schedule",
    /^(alphas_cumprod|alphas_cumprod_prev|betas|ddim_\w+|denoiser\.(log_)?sigmas|log_one_minus_alphas_cumprod|log_snr|logvar|lvlb_weights|posterior_\w+|scale_factor|sqrt_\w+)$/,
  ],
  ["the causal mask of the text encoder", /^cond_stage_model\.model\.attn_mask$/],
  ["CLIP's temperature", /(^|\.)logit_scale$/],
  ["the text encoder's projection", /(^|\.)text_projection(\.weight)?$/],
  [
    "CLIP's image side",
    /^cond_stage_model\.model\.visual\.|^(cond_stage_model\.transformer\.)?(vision_model|visual_projection)\./,
  ],
  ["the VAE's training losses", /^((first_stage_model|vae)\.)?loss\./],
  ["averages of the VAE's weights", /^(first_stage_model|vae)\.model_ema\./],
  ["training progress", /^(global_step|epoch|step|iteration)$/],
  ["markers", /^(v_pred|ztsnr)$/],
  ["the safety checker", /^safety_checker\./],
];

const EMA = "averages (EMA) that stand beside the weights themselves";
/** Weights, of a whole model or of a VAE by itself, that make averages redundant. */
const PLAIN = /^model\.diffusion_model\.|^decoder\.conv_in\./;
const EMA_STATE = "progress of the averages";
const LAYERS = "text encoder layers above the one that conditions";
const TEXT_LAYER = /^cond_stage_model\..*\.(?:resblocks|layers)\.(\d+)\./;

/** The keys of a file by what becomes of them. */
export interface SortedKeys {
  readonly kept: ReadonlySet<string>;
  readonly ignored: readonly IgnoredKeys[];
  readonly unknown: readonly string[];
}

/** The rule by which a key is ignored, if any. */
function ignoredBy(key: string, hasPlain: boolean, textLayers: number): string | undefined {
  if (/^model_ema\.(decay|num_updates)$/.test(key)) return EMA_STATE;
  if (key.startsWith("model_ema.") && hasPlain) return EMA;
  const layer = TEXT_LAYER.exec(key);
  if (layer !== null && Number(layer[1]) >= textLayers) return LAYERS;
  return RULES.find(([, pattern]) => pattern.test(key))?.[0];
}

/**
 * Sorts a single file's keys: those below `prefixes` are kept unless a rule ignores them, all
 * others are unknown. `textLayers` is the number of text encoder layers in use. Averages (EMA) are
 * taken only where the plain weights are missing, as diffusers and the web UIs do.
 */
export function sortKeys(
  keys: readonly string[],
  prefixes: readonly string[],
  textLayers: number,
): SortedKeys {
  const hasPlain = keys.some((key) => PLAIN.test(key));
  const kept = new Set<string>();
  const unknown: string[] = [];
  const ignored = new Map<string, string[]>();
  for (const key of keys) {
    const rule = ignoredBy(key, hasPlain, textLayers);
    if (rule !== undefined) {
      if (!ignored.has(rule)) ignored.set(rule, []);
      ignored.get(rule)!.push(key);
    } else if (prefixes.some((prefix) => key.startsWith(prefix))) kept.add(key);
    else unknown.push(key);
  }
  return { kept, unknown, ignored: [...ignored].map(([rule, keys]) => ({ rule, keys })) };
}
