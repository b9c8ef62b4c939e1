import { type ClipModelFiles, checkWeights, tokenizerOf } from "../checkpoints/index.js";
import { symbol } from "../graph/dim.js";
import { graphOf, manifest } from "../graph/graph.js";
import { input } from "../graph/ops.js";
import { type Picture, picture, picturesToTensor } from "../image/picture.js";
import { resize } from "../image/resize.js";
import type { ClipConfig } from "../models/clip/config.js";
import { clipImageFeatures, clipTextFeatures } from "../models/clip/dual.js";
import { denseParams } from "../nn/layers.js";
import type { Engine } from "../runtime/engine.js";
import { type Tensor, tensor } from "../tensor/tensor.js";
import { opening } from "../util/opening.js";

/** Tells how well pictures fit prompts. Disposing it frees its programs, not the engine. */
export interface ClipScorer extends AsyncDisposable {
  /** Cosines of prompts and pictures, [prompts, pictures]: higher fits better. */
  score(prompts: readonly string[], pictures: readonly Picture[]): Promise<Tensor>;
}

/**
 * Opens a CLIPModel for scoring. Throws "mismatch" for weights that do not fit. Source: Radford et
 * al. 2021; transformers CLIPModel, CLIPImageProcessor.
 */
export function openClipScorer(files: ClipModelFiles, engine: Engine): Promise<ClipScorer> {
  return opening(async (use) => {
    const { config } = files;
    const graphs = { text: textGraph(config), image: imageGraph(config) };
    const component = { ...files, fileKey: (name: string) => name };
    const expected = [...manifest(graphs.text), ...manifest(graphs.image)];
    checkWeights(new Map([...expected, ["logit_scale", []]]), component, "CLIP");
    const tokenizer = tokenizerOf(files.name, files.tokenizer, config.text.maxPositions);
    const { weights } = files;
    const text = use(await engine.load(graphs.text, weights, { label: `texts of ${files.name}` }));
    const image = use(
      await engine.load(graphs.image, weights, { label: `pictures of ${files.name}` }),
    );
    return {
      async score(prompts: readonly string[], pictures: readonly Picture[]) {
        const encoded = prompts.map((prompt) => tokenizer.encode(prompt));
        const texts = await text.run(tokensOf(encoded, tokenizer.maxLength));
        const images = normalised(pictures, files);
        const seen = await image.run({ images });
        return cosines(texts.features!, seen.features!);
      },
    };
  });
}

const b = symbol("b");

function textGraph(config: ClipConfig) {
  const ids = input("ids", [b, config.text.maxPositions], "int");
  const ends = input("ends", [b], "int");
  return graphOf({ features: clipTextFeatures(denseParams(), config, { ids, ends }) });
}

function imageGraph(config: ClipConfig) {
  const { imageSize } = config.vision;
  const images = input("images", [b, 3, imageSize, imageSize]);
  return graphOf({ features: clipImageFeatures(denseParams(), config, images) });
}

/** Token ids [B,N], and where each text ends among all of them [B]: what CLIP's text side is fed. */
export function tokensOf(
  encoded: readonly { readonly ids: Int32Array; readonly length: number }[],
  maxLength: number,
): { readonly ids: Tensor; readonly ends: Tensor } {
  const ids = Float32Array.from(encoded.flatMap((e) => [...e.ids]));
  const ends = Float32Array.from(encoded, ({ length }, i) => i * maxLength + length - 1);
  return { ids: tensor([encoded.length, maxLength], ids), ends: tensor([encoded.length], ends) };
}

/** The middle square of each picture, resized to what the encoder sees, and normalised. */
function normalised(
  pictures: readonly Picture[],
  { config, mean, deviation }: ClipModelFiles,
): Tensor {
  const side = config.vision.imageSize;
  const images = picturesToTensor(pictures.map((p) => middleSquare(p, side)));
  const { shape, data } = images;
  const area = side * side;
  const out = data.map((x, i) => {
    const channel = Math.floor(i / area) % 3;
    return (x * 0.5 + 0.5 - mean[channel]!) / deviation[channel]!;
  });
  return tensor(shape, out);
}

/** The picture with its shorter side made `side`, and what is left over cut off on both ends. */
function middleSquare(whole: Picture, side: number): Picture {
  const { width, height } = whole;
  const short = Math.min(width, height);
  const to = (n: number): number => (n === short ? side : Math.trunc((side * n) / short));
  const small = short === side ? whole : resize(whole, to(width), to(height), "bicubic");
  const [left, top] = [small.width, small.height].map((n) => Math.trunc((n - side) / 2));
  if (left === 0 && top === 0 && small.width === side && small.height === side) return small;
  const data = new Uint8Array(side * side * 3);
  for (let y = 0; y < side; y++) {
    const from = ((top! + y) * small.width + left!) * 3;
    data.set(small.data.subarray(from, from + side * 3), y * side * 3);
  }
  return picture(side, side, data);
}

/** Products of rows: [n,D] and [m,D] -> [n,m]. */
function cosines(a: Tensor, c: Tensor): Tensor {
  const [n, d] = a.shape as [number, number];
  const m = c.shape[0]!;
  const out = new Float32Array(n * m);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < m; j++) {
      let sum = 0;
      for (let k = 0; k < d; k++) sum += a.data[i * d + k]! * c.data[j * d + k]!;
      out[i * m + j] = sum;
    }
  }
  return tensor([n, m], out);
}
