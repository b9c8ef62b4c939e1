import {
  type Component,
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
import type { Engine, LoadOptions, Program } from "../runtime/engine.js";
import { torchCpuNoise } from "../tensor/random.js";
import type { StoredTensors } from "../tensor/stored.js";
import { full, type Tensor } from "../tensor/tensor.js";
import { clipTokenizer, type Tokenizer } from "../text/index.js";
import { invariant } from "../util/errors.js";
import type { Defaults } from "./defaults.js";
import { defaultsOf } from "./defaultsOf.js";
import { decoderGraph, encoderGraph, textGraph, unetGraph } from "./graphs.js";
import { type Int8Mode, type Int8Part, int8Program, observed, observingProgram } from "./int8.js";
import { predictMemory, type RunSize, requireMemory } from "./memory.js";
import { PART_TITLES, type Part } from "./parts.js";
import { lookUpTokens } from "./textEmbedding.js";

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
  /** Throws "out-of-memory" if a run of this size with these parts would not fit. */
  checkMemory(size: RunSize, parts: readonly Part[]): void;
  encodePrompts(prompts: readonly string[]): Promise<EncodedPrompts>;
  /** The UNet: x [B,C,h,w] at timestep t, context [B,N,D] -> raw prediction [B,4,h,w]. */
  predict(x: Tensor, t: number, context: Tensor): Promise<Tensor>;
  /** The autoencoder: image [B,3,H,W] in [-1,1] -> mean and logvar [B,8,h,w]. */
  encodeImage(image: Tensor): Promise<Tensor>;
  /** The autoencoder: latents [B,4,h,w], scaling factor already divided out -> image [B,3,H,W]. */
  decodeLatents(latents: Tensor): Promise<Tensor>;
  /** Frees a part; it is loaded again when it is needed again. */
  release(part: Part): Promise<void>;
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
}

/**
 * Makes a model's files runnable: checks every weight, opens the tokenizer, and finds out by a run
 * what the network predicts where its files do not say. Programs are loaded on first use. Throws
 * "mismatch" for weights that do not fit.
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
  const tokenizer = await openTokenizer(files);
  const parts = options.int8 ? inInt8(files, graphs, options.int8) : inFloats(files, graphs);
  const programs = programShelf(files, parts, options);
  const predict: DiffusionModel["predict"] = async (x, t, context) => {
    const unet = await programs.get("unet");
    return (await unet.run({ x, t: full([x.shape[0]!], t), context })).prediction!;
  };
  const encodePrompts: DiffusionModel["encodePrompts"] = async (prompts) => {
    const encoded = prompts.map((prompt) => tokenizer.encode(prompt));
    const table = files.text.weights.get(`${TOKEN_TABLE}.weight`)!;
    const ids = encoded.map((e) => e.ids);
    const tokens = await lookUpTokens(table, ids, files.text.file);
    const text = await programs.get("text");
    const { hidden } = await text.run({ tokens });
    return { hidden: hidden!, truncated: encoded.map((e) => e.truncated) };
  };
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
    graphs: graphsOf(parts),
    checkMemory(size, used) {
      const { availableMemory, lowMemory = false } = options;
      if (!availableMemory) return;
      const loaded = programs.loaded();
      const model = { graphs: graphsOf(parts), factor };
      const prediction = predictMemory(model, size, { parts: used, loaded, lowMemory });
      requireMemory(prediction, availableMemory(), size, lowMemory);
    },
    encodePrompts,
    predict,
    encodeImage: async (image) => (await (await programs.get("encoder")).run({ image })).moments!,
    decodeLatents: async (latents) =>
      (await (await programs.get("decoder")).run({ latents })).image!,
    release: programs.release,
    [Symbol.asyncDispose]: programs.releaseAll,
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

/** What a part's program is loaded from. */
interface PartProgram {
  readonly graph: Graph;
  readonly weights: StoredTensors;
  /** What the loaded program is used as, where that is not itself. */
  readonly wrap?: (program: Program) => Program;
}

type PartPrograms = Readonly<Record<Part, PartProgram>>;

function inFloats(files: ModelFiles, graphs: Readonly<Record<Part, Graph>>): PartPrograms {
  const part = (name: Part, { weights }: Component<unknown>) => ({ graph: graphs[name], weights });
  return {
    text: part("text", files.text),
    unet: part("unet", files.unet),
    encoder: part("encoder", files.vae),
    decoder: part("decoder", files.vae),
  };
}

function inInt8(
  files: ModelFiles,
  graphs: Readonly<Record<Part, Graph>>,
  mode: Int8Mode,
): PartPrograms {
  const int8 = (part: Int8Part): PartProgram => {
    if ("ranges" in mode) return int8Program(files, part, mode.ranges[part], mode.limit);
    const observing = observingProgram(files, part, mode.limit);
    return { ...observing, wrap: (program) => observed(program, observing, mode.peaks[part]) };
  };
  return { ...inFloats(files, graphs), unet: int8("unet"), decoder: int8("decoder") };
}

const graphsOf = (parts: PartPrograms): Readonly<Record<Part, Graph>> => ({
  text: parts.text.graph,
  unet: parts.unet.graph,
  encoder: parts.encoder.graph,
  decoder: parts.decoder.graph,
});

/** Programs that are loaded when asked for, kept, and freed. */
interface ProgramShelf {
  loaded(): readonly Part[];
  get(part: Part): Promise<Program>;
  release(part: Part): Promise<void>;
  releaseAll(): Promise<void>;
}

function programShelf(
  files: ModelFiles,
  parts: PartPrograms,
  { engine, lowMemory = false, onLoad }: OpenOptions,
): ProgramShelf {
  const loaded = new Map<Part, Promise<Program>>();
  const load = async (part: Part): Promise<Program> => {
    onLoad?.(part);
    const options: LoadOptions = {
      label: `${PART_TITLES[part]} of ${files.name}`,
      // Half precision overflows in the autoencoder of Stable Diffusion.
      fullPrecision: part === "encoder" || part === "decoder",
    };
    const { graph, weights, wrap = (program) => program } = parts[part];
    return wrap(await engine.load(graph, weights, options));
  };
  const release = async (part: Part): Promise<void> => {
    const program = loaded.get(part);
    loaded.delete(part);
    await (await program?.catch(() => undefined))?.[Symbol.asyncDispose]();
  };
  return {
    loaded: () => [...loaded.keys()],
    async get(part) {
      if (lowMemory)
        for (const other of [...loaded.keys()]) if (other !== part) await release(other);
      const program = loaded.get(part) ?? load(part);
      loaded.set(part, program);
      program.catch(() => {
        if (loaded.get(part) === program) loaded.delete(part); // it may be tried again
      });
      return await program;
    },
    release,
    async releaseAll() {
      for (const part of [...loaded.keys()]) await release(part);
    },
  };
}
