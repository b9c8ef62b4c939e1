import type { ClipActivation, ClipTextConfig } from "../models/clip/config.js";
import type { UNetBlock, UNetConfig } from "../models/unet/config.js";
import type { VaeConfig } from "../models/vae/config.js";
import type { StoredTensors } from "../tensor/stored.js";
import { check, TintypeError } from "../util/errors.js";
import { show } from "./configReader.js";

/** Reads sizes off the tensors of one component, in messages called `who`. */
interface Shapes {
  readonly who: string;
  has(key: string): boolean;
  /** Size of one dimension. Throws "mismatch" when the tensor or the dimension is not there. */
  dim(key: string, axis: number): number;
  rank(key: string): number;
  /** How many of `list.0`, `list.1`... there are. Throws "mismatch" where one between is missing. */
  count(list: string): number;
}

function shapesOf(tensors: StoredTensors, who: string): Shapes {
  const shape = (key: string) => {
    const tensor = tensors.get(key);
    check(
      tensor !== undefined,
      "mismatch",
      `${who}: "${key}" is missing, so its size is unknown. ` +
        "The file is damaged or of another architecture: download it again.",
    );
    return tensor.shape;
  };
  return {
    who,
    has: (key) => tensors.has(key),
    dim(key, axis) {
      const size = shape(key)[axis];
      if (size !== undefined && size > 0) return size;
      throw new TintypeError(
        "mismatch",
        `${who}: "${key}": expected at least ${axis + 1} dimensions, got shape [${shape(key)}].`,
      );
    },
    rank: (key) => shape(key).length,
    count(list) {
      const found = new Set<number>();
      for (const key of tensors.keys()) {
        if (!key.startsWith(`${list}.`)) continue;
        const index = /^\d+(?=\.)/.exec(key.slice(list.length + 1));
        if (index !== null) found.add(Number(index[0]));
      }
      for (let i = 0; i < found.size; i++) {
        check(found.has(i), "mismatch", `${who}: "${list}.${i}" is missing.`);
      }
      return found.size;
    },
  };
}

interface Level {
  channels: number;
  layers: number;
  /** Transformer blocks a layer, 0 for ResNet blocks alone. */
  depth: number;
}

function transformerDepth(shapes: Shapes, block: string): number {
  return shapes.count(`${block}.transformer_blocks`);
}

/** The levels that `input_blocks` numbers: layers up to a downsampler each. */
function unetLevels(shapes: Shapes): readonly Level[] {
  const levels: Level[] = [{ channels: 0, layers: 0, depth: 0 }];
  const blocks = shapes.count("input_blocks");
  for (let i = 1; i < blocks; i++) {
    const block = `input_blocks.${i}`;
    if (shapes.has(`${block}.0.op.weight`) || shapes.has(`${block}.0.op.bias`)) {
      levels.push({ channels: 0, layers: 0, depth: 0 });
      continue;
    }
    const level = levels.at(-1)!;
    level.channels = shapes.dim(`${block}.0.in_layers.2.weight`, 0);
    level.depth = Math.max(level.depth, transformerDepth(shapes, `${block}.1`));
    level.layers++;
  }
  const layers = levels.map((level) => level.layers);
  if (layers[0]! > 0 && layers.every((n) => n === layers[0])) return levels;
  throw new TintypeError(
    "unsupported",
    `${shapes.who}: expected as many ResNet blocks in every level, got ${show(layers)}.`,
  );
}

/**
 * UNetConfig of an LDM UNet (keys without `model.diffusion_model.`). `base` gives what shapes
 * cannot tell; `heads` maps a level's channels to its number of heads.
 */
export function unetConfigFromShapes(
  tensors: StoredTensors,
  who: string,
  base: UNetConfig,
  heads: (level: number, channels: number) => number,
): UNetConfig {
  const shapes = shapesOf(tensors, who);
  const levels = unetLevels(shapes);
  const blocks = levels.map((l): UNetBlock => (l.depth > 0 ? "crossAttention" : "resnet"));
  const middle = transformerDepth(shapes, "middle_block.1");
  // The middle block always attends and is as deep as the last level: it tells where that does not.
  const depths = levels.map((l, i) => l.depth || (i === levels.length - 1 ? middle : 1));
  const blockOutChannels = levels.map((l) => l.channels);
  const attention = "middle_block.1";
  return {
    ...base,
    inChannels: shapes.dim("input_blocks.0.0.weight", 1),
    outChannels: shapes.dim("out.2.weight", 0),
    blocks,
    blockOutChannels,
    layersPerBlock: levels[0]!.layers,
    heads: blockOutChannels.map((channels, i) => heads(i, channels)),
    transformerLayers: depths,
    crossAttentionDim: shapes.dim(`${attention}.transformer_blocks.0.attn2.to_k.weight`, 1),
    useLinearProjection: shapes.rank(`${attention}.proj_in.weight`) === 2,
  };
}

/** Levels and layers of a VAE in LDM's layout (keys without `first_stage_model.`). */
export function ldmVaeLayout(
  tensors: StoredTensors,
  who: string,
): { levels: number; layersPerBlock: number } {
  const shapes = shapesOf(tensors, who);
  return {
    levels: shapes.count("encoder.down"),
    layersPerBlock: shapes.count("encoder.down.0.block"),
  };
}

/** VaeConfig of a VAE under canonical names. `base` gives what shapes cannot tell. */
export function vaeConfigFromShapes(
  tensors: StoredTensors,
  who: string,
  base: VaeConfig,
): VaeConfig {
  const shapes = shapesOf(tensors, who);
  const levels = shapes.count("encoder.down_blocks");
  const conv = (level: number) => `encoder.down_blocks.${level}.resnets.0.conv1.weight`;
  return {
    ...base,
    inChannels: shapes.dim("encoder.conv_in.weight", 1),
    outChannels: shapes.dim("decoder.conv_out.weight", 0),
    latentChannels: shapes.dim("decoder.conv_in.weight", 1),
    blockOutChannels: Array.from({ length: levels }, (_, level) => shapes.dim(conv(level), 0)),
    layersPerBlock: shapes.count("encoder.down_blocks.0.resnets"),
    midBlockAttention: shapes.has("decoder.mid_block.attentions.0.to_q.weight"),
    useQuantConv: shapes.has("quant_conv.weight"),
    usePostQuantConv: shapes.has("post_quant_conv.weight"),
  };
}

/** Layers of OpenCLIP's text encoder (keys without `cond_stage_model.model.`). */
export function openClipLayers(tensors: StoredTensors, who: string): number {
  return shapesOf(tensors, who).count("transformer.resblocks");
}

/** ClipTextConfig of a text encoder under canonical names, 64 channels a head. */
export function clipConfigFromShapes(
  tensors: StoredTensors,
  who: string,
  activation: ClipActivation,
): ClipTextConfig {
  const shapes = shapesOf(tensors, who);
  const hiddenSize = shapes.dim("embeddings.token_embedding.weight", 1);
  return {
    vocabSize: shapes.dim("embeddings.token_embedding.weight", 0),
    hiddenSize,
    intermediateSize: shapes.dim("encoder.layers.0.mlp.fc1.weight", 0),
    layers: shapes.count("encoder.layers"),
    heads: headsOf64(who, hiddenSize),
    maxPositions: shapes.dim("embeddings.position_embedding.weight", 0),
    activation,
    layerNormEps: 1e-5,
  };
}

/** Heads of 64 channels each. Throws "mismatch" where the width is no multiple of 64. */
export function headsOf64(who: string, width: number): number {
  if (width % 64 === 0) return width / 64;
  throw new TintypeError(
    "mismatch",
    `${who}: attention of width ${width}: expected a multiple of 64, the published width of a head.`,
    { advice: "Pass --config with the diffusers folder of this model, which states its heads." },
  );
}
