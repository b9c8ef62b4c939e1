import type { Platform } from "../platform/types.js";
import { TintypeError } from "../util/errors.js";
import { nearest } from "../util/nearest.js";
import type { Listener } from "./cache.js";
import { fetchModel, type ResolvedModel } from "./model.js";
import { formatReference, type HubReference, parseHubId, parseHubUrl } from "./reference.js";
import type { Patience } from "./retry.js";
import type { Selection } from "./select.js";
import { readHubSettings } from "./settings.js";

/** Options of `resolveModel`. */
export interface ResolveOptions extends Selection, Listener {
  readonly platform: Platform;
  readonly signal?: AbortSignal | undefined;
  readonly patience?: Patience | undefined;
}

/**
 * Finds a model: a file or folder that exists here, or else a Hugging Face id
 * `owner/name[@revision][:path]` (also `hf://...` or a hub's URL), which is downloaded into the
 * standard Hugging Face cache unless it is there. Throws "not-found", "network", "io", "aborted"
 * or "bad-argument".
 */
export async function resolveModel(ref: string, options: ResolveOptions): Promise<ResolvedModel> {
  const { platform } = options;
  if (ref.trim() === "") {
    throw new TintypeError("bad-argument", "the model's name is empty. Name a path or a model.");
  }
  const settings = await readHubSettings(platform);
  const hub = { platform, settings, patience: options.patience ?? {}, signal: options.signal };
  const named = parseHubUrl(ref, settings.endpoint);
  if (named !== undefined) return fetchModel(hub, named, options);
  const local = await platform.stat(ref);
  if (local?.kind === "folder") {
    return { kind: "folder", name: ref, folder: await platform.openFolder(ref) };
  }
  if (local?.kind === "file") return openCheckpoint(platform, ref);
  if (/^[a-z]+:\/\//i.test(ref)) throw foreignUrl(ref, settings.endpoint);
  const id = parseHubId(ref);
  const near = await nearestPath(platform, ref);
  if (id === undefined) throw noSuchPath(ref, near);
  // `models/postcard` beside a folder models/postcards is more likely a slip than a model.
  if (near !== undefined) throw ambiguous(ref, id, near);
  try {
    return await fetchModel(hub, id, options);
  } catch (error) {
    if (!(error instanceof TintypeError) || error.code !== "not-found") throw error;
    const message = `${error.message} (There is no file or folder "${ref}" here either.)`;
    throw new TintypeError("not-found", message, { cause: error });
  }
}

async function openCheckpoint(platform: Platform, ref: string): Promise<ResolvedModel> {
  const source = await platform.openFile(ref);
  for (const extension of [".yaml", ".yml"]) {
    const beside = ref.replace(/\.\w+$/, extension);
    if (beside !== ref && (await platform.stat(beside))?.kind === "file") {
      return { kind: "file", name: ref, source, yaml: await platform.openFile(beside) };
    }
  }
  return { kind: "file", name: ref, source };
}

/** The name in the same folder that `ref` most likely meant. */
async function nearestPath(platform: Platform, ref: string): Promise<string | undefined> {
  const [, folder = "", name = ""] = /^(.*[/\\])?([^/\\]*)[/\\]*$/.exec(ref) ?? [];
  const names = await platform.files
    .list(platform.resolve(folder === "" ? "." : folder))
    .catch(() => []);
  const guess = nearest(name, names);
  return guess === undefined ? undefined : folder + guess;
}

function noSuchPath(ref: string, near: string | undefined): TintypeError {
  const [, id, rest] = /^([\w-][\w.-]*\/[\w.-]+)\/(.+)$/.exec(ref) ?? [];
  const hint =
    near !== undefined
      ? `Did you mean "${near}"?`
      : id !== undefined
        ? `A file of a Hugging Face model is written ${id}:${rest}.`
        : "Name a file, a folder, or a Hugging Face model as owner/name.";
  return new TintypeError("not-found", `there is no file or folder "${ref}". ${hint}`);
}

function ambiguous(ref: string, id: HubReference, near: string): TintypeError {
  return new TintypeError(
    "not-found",
    `there is no file or folder "${ref}", but there is "${near}". Name that one, or write ` +
      `hf://${formatReference(id).replace(":", "/")} for the Hugging Face model of this name.`,
  );
}

function foreignUrl(ref: string, endpoint: string): TintypeError {
  return new TintypeError(
    "bad-argument",
    `"${ref}" is no address of ${endpoint}. Download the file first and name its path.`,
  );
}
