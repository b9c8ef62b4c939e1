import { TintypeError } from "../util/errors.js";

/** Which files of a repository to fetch. */
export interface Selection {
  /** "fp16" prefers `*.fp16.safetensors`; without one, the plain files are preferred. */
  readonly variant?: string | undefined;
  /** Folders of a pipeline; by default those of a Stable Diffusion. */
  readonly components?: readonly string[] | undefined;
  /** False leaves weights out: only configs and tokenizer files. Default true. */
  readonly weights?: boolean | undefined;
}

/** What a pipeline consists of, where its model_index.json does not say otherwise. */
const COMPONENTS = ["scheduler", "text_encoder", "tokenizer", "unet", "vae"];

/** Parts that model_index.json may list and that make no picture. */
const EXTRAS = new Set(["safety_checker", "feature_extractor"]);

/** Classes of model_index.json that have no weights. */
const WEIGHTLESS = /(Tokenizer(Fast)?|Scheduler|FeatureExtractor|Processor)$/;

const CONFIGS = /^(?!.*\.index(\.[\w-]+)?\.json$)[\w.-]+\.json$|^merges\.txt$|\.model$/;

/** One file of weights, by its name. */
interface WeightsName {
  readonly name: string;
  readonly format: string;
  /** "" for the plain one. */
  readonly variant: string;
  /** Number of shards, 0 for a single file. */
  readonly shards: number;
  readonly isIndex: boolean;
}

const STEM = "^(?:diffusion_pytorch_model|pytorch_model|model)";
const FORMAT = "(safetensors|bin)";
const WEIGHTS = new RegExp(
  `${STEM}(?:\\.([\\w-]+?))?(?:-\\d{5}-of-(\\d{5}))?(?:\\.([\\w-]+))?\\.${FORMAT}$`,
);
const INDEX = new RegExp(`${STEM}(?:\\.([\\w-]+))?\\.${FORMAT}\\.index(?:\\.([\\w-]+))?\\.json$`);

function parseWeights(name: string): WeightsName | undefined {
  const index = INDEX.exec(name);
  if (index !== null) {
    const [, before, format, after] = index;
    return { name, format: format!, variant: after ?? before ?? "", shards: 0, isIndex: true };
  }
  const [, before, shards, after, format] = WEIGHTS.exec(name) ?? [];
  if (format === undefined) return undefined;
  const variant = after ?? before ?? "";
  return { name, format, variant, shards: Number(shards ?? 0), isIndex: false };
}

/**
 * The weight files of one component folder: .safetensors before .bin; the asked variant, else the
 * plain one, else fp16, else what there is; one file before shards; shards with their index.
 */
function chooseWeights(names: readonly string[], variant: string): readonly WeightsName[] {
  const all = names.flatMap((name) => parseWeights(name) ?? []);
  for (const format of ["safetensors", "bin"]) {
    const files = all.filter((file) => file.format === format);
    const variants = new Set(files.filter((file) => !file.isIndex).map((file) => file.variant));
    const rest = [...variants].sort((a, b) => Number(a === "non_ema") - Number(b === "non_ema"));
    const chosen = [variant, "", "fp16", ...rest].find((choice) => variants.has(choice));
    if (chosen === undefined) continue;
    const same = files.filter((file) => file.variant === chosen);
    const single = same.filter((file) => !file.isIndex && file.shards === 0);
    return single.length > 0 ? single : same;
  }
  return [];
}

/** Whether a component's weights are all there: its one file, or every shard and their index. */
function isWhole(chosen: readonly WeightsName[]): boolean {
  const shards = chosen.filter((file) => !file.isIndex);
  const total = shards[0]?.shards ?? 0;
  if (total === 0) return shards.length > 0;
  return shards.length === total && chosen.some((file) => file.isIndex);
}

/** Names directly in a folder of the list; "" is the root. */
function namesIn(list: readonly { readonly path: string }[], folder: string): string[] {
  const prefix = folder === "" ? "" : `${folder}/`;
  return list
    .filter(({ path }) => path.startsWith(prefix) && !path.slice(prefix.length).includes("/"))
    .map(({ path }) => path.slice(prefix.length));
}

function componentFiles(
  list: readonly { readonly path: string }[],
  folder: string,
  { variant, weights }: Selection,
): string[] {
  const names = namesIn(list, folder);
  const chosen = weights === false ? [] : chooseWeights(names, variant ?? "");
  const configs = names.filter((name) => CONFIGS.test(name));
  const prefix = folder === "" ? "" : `${folder}/`;
  return [...configs, ...chosen.map(({ name }) => name)].map((name) => prefix + name);
}

/**
 * The files that Tintype needs out of a repository's (or a folder's) list. A diffusers pipeline:
 * model_index.json and its components. A single component: its config and weights. Anything else:
 * its one checkpoint file, with a .yaml of the same name. Never two forms of the same weights, no
 * safety checker unless it is asked for. Throws "bad-argument" when there is nothing to choose, or
 * too much.
 */
export function filesNeeded<F extends { readonly path: string }>(
  list: readonly F[],
  selection: Selection = {},
): readonly F[] {
  const paths = new Set(list.map(({ path }) => path));
  let wanted: readonly string[];
  if (paths.has("model_index.json")) {
    const folders = selection.components ?? COMPONENTS;
    const parts = folders.flatMap((folder) => componentFiles(list, folder, selection));
    wanted = ["model_index.json", ...parts];
  } else if (paths.has("config.json") && chooseWeights(namesIn(list, ""), "").length > 0) {
    wanted = componentFiles(list, "", selection);
  } else if (selection.weights === false) {
    throw new TintypeError(
      "bad-argument",
      "it has no model_index.json, so it is no diffusers pipeline whose settings could be read.",
    );
  } else {
    const file = onlyCheckpoint([...paths]);
    wanted = [file, file.replace(/\.\w+$/, ".yaml"), file.replace(/\.\w+$/, ".yml")];
  }
  const set = new Set(wanted);
  return list.filter(({ path }) => set.has(path));
}

/** The names of checkpoint files at the root of a repository. */
function checkpointsIn(paths: readonly string[]): readonly string[] {
  const safe = paths.filter((path) => /^[^/]+\.safetensors$/i.test(path));
  return safe.length > 0 ? safe : paths.filter((path) => /^[^/]+\.ckpt$/i.test(path));
}

function onlyCheckpoint(paths: readonly string[]): string {
  const files = checkpointsIn(paths);
  if (files.length === 1) return files[0]!;
  throw new TintypeError(
    "bad-argument",
    files.length === 0
      ? "it has no model_index.json and no .safetensors or .ckpt file at its root, so it is no " +
          "Stable Diffusion that Tintype can read."
      : `it has several checkpoints; name one, as in owner/name:${files[0]}. ` +
          `Choices: ${files.join(", ")}.`,
  );
}

/** The components that a model_index.json lists: folder -> class name; extras left out. */
export function componentsOf(modelIndex: unknown): ReadonlyMap<string, string> {
  const components = new Map<string, string>();
  if (typeof modelIndex !== "object" || modelIndex === null) return components;
  for (const [key, value] of Object.entries(modelIndex)) {
    if (!Array.isArray(value) || typeof value[1] !== "string") continue;
    if (/^[a-z]\w*$/i.test(key) && !EXTRAS.has(key)) components.set(key, value[1]);
  }
  return components;
}

/**
 * What a pipeline's list of files lacks, as `unet (weights)`; none when it is whole. With a
 * variant, weights of that variant must be there, since only the hub knows whether it has them.
 */
export function missingParts(
  list: readonly { readonly path: string }[],
  components: ReadonlyMap<string, string>,
  { variant, weights }: Selection = {},
): readonly string[] {
  return [...components].flatMap(([folder, className]) => {
    const names = namesIn(list, folder);
    if (names.length === 0) return [folder];
    if (WEIGHTLESS.test(className)) return [];
    if (!names.includes("config.json")) return [`${folder} (config.json)`];
    if (weights === false) return [];
    const chosen = chooseWeights(names, variant ?? "");
    const right = variant === undefined || chosen.every((file) => file.variant === variant);
    return isWhole(chosen) && right ? [] : [`${folder} (weights)`];
  });
}
