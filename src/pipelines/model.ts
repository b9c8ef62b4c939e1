import {
  checkWeights,
  type ModelFamily,
  type ModelFiles,
  predictionFromProbe,
  tokenizerOf,
  withPrediction,
} from "../checkpoints/index.js";
import type { PredictionType } from "../diffusion/index.js";
import { parseSchedulerConfig, type SchedulerFile } from "../diffusion/index.js";
import { type Graph, manifest } from "../graph/graph.js";
import { TOKEN_TABLE } from "../models/clip/model.js";
import type { UNetConfig } from "../models/unet/config.js";
import { type VaeConfig, vaeFactor } from "../models/vae/config.js";
import type { Engine } from "../runtime/engine.js";
import { torchCpuNoise } from "../tensor/random.js";
import type { Tensor } from "../tensor/tensor.js";
import { clipTokenizer, type Tokenizer } from "../text/index.js";
import { invariant } from "../util/errors.js";
import type { Defaults } from "./defaults.js";
import { defaultsOf } from "./defaultsOf.js";
import { decoderGraph, encoderGraph, textGraph, unetGraph } from "./graphs.js";
import type { Int8Mode } from "./int8.js";
import {
  type MemoryPrediction,
  predictMemory,
  type RunSize,
  type TiledParts,
  tilesThatFit,
} from "./memory.js";
import { modelPrograms } from "./modelPrograms.js";
import type { Part } from "./parts.js";
import { type Predict, predictor, type TextMemory } from "./predictor.js";
import { programShelf } from "./programShelf.js";
import { NO_SHORTCUTS, type Shortcuts } from "./shortcuts.js";
import { lookUpTokens } from "./textEmbedding.js";
import { decodeInTiles, encodeInTiles, type TiledRun, type TilePrograms } from "./tiledVae.js";
import type { TiledPart } from "./tileGraphs.js";
import { settleTiling, type Tiles, type TilingSettings } from "./tiling.js";
import { programsOf } from "./unetPrograms.js";

/** Prompts as the UNet takes them. */
export interface EncodedPrompts {
  /** Hidden states [prompts, tokens, width]. */
  readonly hidden: Tensor;
  /** For each prompt, its end that did not fit and was cut. */
  readonly truncated: readonly (string | undefined)[];
}

/** A latent diffusion model that can be run. Disposing it frees its programs, not the engine. */
export interface DiffusionModel extends AsyncDisposable {
  readonly name: string;
  readonly family: ModelFamily;
  readonly unet: UNetConfig;
  readonly vae: VaeConfig;
  readonly scheduler: SchedulerFile;
  readonly prediction: PredictionType;
  /** Pixels a latent along one side. */
  readonly factor: number;
  /** The picture's side that the model was trained at. */
  readonly nativeSize: number;
  /** Settings of a request that names none. */
  readonly defaults: Defaults;
  /** Graphs by part. */
  readonly graphs: Readonly<Record<Part, Graph>>;
  /**
   * The tiles in which the autoencoder has to work for a run of this size with these parts, undefined
   * where it takes pictures whole. Throws "out-of-memory" if the run would not fit.
   */
  checkMemory(size: RunSize, parts: readonly Part[], how?: MemoryOptions): Tiles | undefined;
  /** Begins to load the UNet with these shortcuts, where memory is no reason to wait until it is used. */
  prepareUNet(shortcuts: Shortcuts): void;
  /** The same for the decoder of pictures that are taken whole. */
  prepareDecoder(): void;
  encodePrompts(prompts: readonly string[]): Promise<EncodedPrompts>;
  /** The UNet: x [B,C,h,w] at timestep t, context [B,N,D] -> raw prediction [B,4,h,w]. */
  predict(x: Tensor, t: number, context: Tensor): Promise<Tensor>;
  /** The UNet for one run, which takes these shortcuts. */
  predictor(shortcuts: Shortcuts): Predict;
  /** The autoencoder: image [B,3,H,W] in [-1,1] -> mean and logvar [B,8,h,w]; B is 1 in tiles. */
  encodeImage(image: Tensor, tiled?: TiledRun): Promise<Tensor>;
  /**
   * The autoencoder: latents [B,4,h,w], scaling factor already divided out -> image [B,3,H,W]; B is 1 in
   * tiles.
   */
  decodeLatents(latents: Tensor, tiled?: TiledRun): Promise<Tensor>;
  /** Frees a part; it is loaded again when it is needed again. */
  release(part: Part): Promise<void>;
}

/** What of a run decides how much memory it takes, beside its size. */
export interface MemoryOptions {
  readonly shortcuts?: Shortcuts;
  readonly tiling?: TilingSettings;
}

/** How a model is opened. */
export interface OpenOptions {
  readonly engine: Engine;
  /** Keeps one part in memory at a time: slower between pictures, least memory. */
  readonly lowMemory?: boolean;
  /** Told before a part is loaded. */
  readonly onLoad?: (part: Part) => void;
  /** Bytes of memory that are free now; without it memory is not checked. */
  readonly availableMemory?: () => number;
  /** Computes the UNet and the VAE decoder in 8 bits. */
  readonly int8?: Int8Mode;
  /**
   * Whether keys and values of a text are worked out once a picture, by a program of their own, and not at
   * each step. On a CPU they are; a GPU would wait for them at each step.
   */
  readonly textApart?: boolean;
}

/**
 * Makes a model's files runnable: checks every weight, and finds out by a run what the network predicts
 * where its files do not say. Programs and the tokenizer are loaded on first use. Throws "mismatch" for
 * weights that do not fit.
 */
export async function openModel(files: ModelFiles, options: OpenOptions): Promise<DiffusionModel> {
  const graphs: Record<Part, Graph> = {
    text: textGraph(files.text.config),
    unet: unetGraph(files.unet.config),
    encoder: encoderGraph(files.vae.config),
    decoder: decoderGraph(files.vae.config),
  };
  checkWeights(
    new Map([[`${TOKEN_TABLE}.weight`, tableShape(files)], ...manifest(graphs.text)]),
    files.text,
    "text encoder",
  );
  checkWeights(manifest(graphs.unet), files.unet, "UNet");
  checkWeights(
    new Map([...manifest(graphs.encoder), ...manifest(graphs.decoder)]),
    files.vae,
    "VAE",
  );

  const defaults = defaultsOf(files);
  let tokenizer: Promise<Tokenizer> | undefined;
  const { engine, lowMemory = false, onLoad, availableMemory } = options;
  const programs = modelPrograms(files, graphs, { ...options, device: engine.device });
  const shelf = programShelf({ engine, model: files.name, lowMemory, onLoad });
  const texts: TextMemory = new WeakMap();
  const predictorOf = (shortcuts: Shortcuts): Predict => {
    const form = programs.unet(shortcuts);
    return predictor(shelf, form, form.unet, texts);
  };
  const predict = predictorOf(NO_SHORTCUTS);
  const run = async (part: Exclude<Part, "unet">, fed: Readonly<Record<string, Tensor>>) =>
    await shelf.use(part, programs.whole[part], async (program) => (await program(part)).run(fed));
  const inTiles = async (part: TiledPart, act: (tiles: TilePrograms) => Promise<Tensor>) =>
    await shelf.use(part, programs.tiled[part], async (program, release) =>
      act({ run: async (name, fed) => await (await program(name)).run(fed), release }),
    );
  const encodePrompts: DiffusionModel["encodePrompts"] = (prompts) =>
    shelf.use("text", programs.whole.text, async (program) => {
      // A vocabulary takes this thread a while, which until now had programs to send on their way.
      const { run } = await program("text");
      tokenizer ??= openTokenizer(files);
      const { encode } = await tokenizer;
      const encoded = prompts.map((prompt) => encode(prompt));
      const table = files.text.weights.get(`${TOKEN_TABLE}.weight`)!;
      const ids = encoded.map((e) => e.ids);
      const { hidden } = await run({ tokens: await lookUpTokens(table, ids, files.text.file) });
      return { hidden: hidden!, truncated: encoded.map((e) => e.truncated) };
    });
  const told =
    files.prediction === "probe"
      ? withPrediction(files, await probe(files, encodePrompts, predict))
      : files;
  invariant(told.prediction !== "probe", "the prediction type is still unknown");
  const factor = vaeFactor(told.vae.config);
  return {
    name: told.name,
    family: told.family,
    unet: told.unet.config,
    vae: told.vae.config,
    scheduler: parseSchedulerConfig(`${told.name}: scheduler`, told.scheduler),
    prediction: told.prediction,
    factor,
    nativeSize: told.unet.config.sampleSize * factor,
    defaults,
    graphs,
    checkMemory(
      size,
      used,
      { shortcuts = NO_SHORTCUTS, tiling = settleTiling("auto", factor) } = {},
    ) {
      const loaded = shelf.loaded();
      const model = { graphs: (part: Part) => programs.graphs(part, shortcuts), factor };
      const graph: TiledParts["graph"] = (part, name) => programs.tiled[part].source(name).graph;
      const predict = (tiles?: Tiles): MemoryPrediction => {
        const tiled = tiles && { tiles, config: told.vae.config, graph };
        return predictMemory(model, size, { parts: used, loaded, lowMemory, tiled });
      };
      return tilesThatFit(predict, size, tiling, { available: availableMemory?.(), lowMemory });
    },
    prepareUNet(shortcuts) {
      const form = programs.unet(shortcuts);
      shelf.prepare("unet", form, programsOf(form.unet));
    },
    prepareDecoder: () => shelf.prepare("decoder", programs.whole.decoder, ["decoder"]),
    encodePrompts,
    predict,
    predictor: predictorOf,
    encodeImage: async (image, tiled) =>
      tiled
        ? await inTiles("encoder", (tiles) => encodeInTiles(tiles, files.vae.config, image, tiled))
        : (await run("encoder", { image })).moments!,
    decodeLatents: async (latents, tiled) =>
      tiled
        ? await inTiles("decoder", (tiles) =>
            decodeInTiles(tiles, files.vae.config, latents, tiled),
          )
        : (await run("decoder", { latents })).image!,
    release: shelf.release,
    [Symbol.asyncDispose]: shelf.releaseAll,
  };
}

/** The vocabulary's size is the file's: any tokenizer that stays below it fits. */
function tableShape({ text }: ModelFiles): readonly number[] {
  const rows = text.weights.get(`${TOKEN_TABLE}.weight`)?.shape[0] ?? text.config.vocabSize;
  return [rows, text.config.hiddenSize];
}

async function openTokenizer({ name, tokenizer, text }: ModelFiles): Promise<Tokenizer> {
  if (tokenizer === "clip") return await clipTokenizer({ padToken: "<|endoftext|>" });
  if (tokenizer === "openclip") return await clipTokenizer({ padToken: "!" });
  return tokenizerOf(name, tokenizer, text.config.maxPositions);
}

/** One run at the last timestep, where nearly all is noise: does the network give the noise back? */
async function probe(
  files: ModelFiles,
  encodePrompts: DiffusionModel["encodePrompts"],
  predict: DiffusionModel["predict"],
): Promise<PredictionType> {
  const { hidden } = await encodePrompts([""]);
  const x = torchCpuNoise(0).randn([1, files.unet.config.inChannels, 8, 8]);
  const output = await predict(x, 999, hidden);
  return predictionFromProbe(x, output);
}
