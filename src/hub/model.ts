import { missingInFolder } from "../platform/paths.js";
import { type ByteSource, type Folder, readJson } from "../util/bytes.js";
import { TintypeError } from "../util/errors.js";
import { cachedCommit, ensureFiles, type Listener, snapshotFolder, writeCommit } from "./cache.js";
import { fetchCommit, fetchFiles, type Hub } from "./client.js";
import { formatReference, type HubReference } from "./reference.js";
import { componentsOf, filesNeeded, missingParts, type Selection } from "./select.js";

/** A model that can be read: a folder of files, or a single checkpoint. */
export type ResolvedModel =
  | {
      readonly kind: "folder";
      /** What messages call it. */
      readonly name: string;
      /** From a hub: shows only the files that the selection needs. */
      readonly folder: Folder;
      /** The hub's commit, when it came from there. */
      readonly commit?: string | undefined;
    }
  | {
      readonly kind: "file";
      readonly name: string;
      readonly source: ByteSource;
      /** The config with the same name that lies beside it. */
      readonly yaml?: ByteSource | undefined;
      readonly commit?: string | undefined;
    };

/** What of a repository is wanted. */
interface Choice<F> {
  readonly kind: "folder" | "file";
  /** "" or the folder inside the repository that is the model, with a slash at its end. */
  readonly root: string;
  readonly files: readonly F[];
  /** What a pipeline lacks. */
  readonly missing: readonly string[];
  /** Whether `files` alone tells that nothing is missing. */
  readonly sure: boolean;
}

/**
 * The model on the hub, through the cache. Asks the hub which commit the revision is, unless the
 * revision is a commit; a snapshot that is whole is used as it is. When the hub cannot be reached
 * a whole snapshot is used too, with a notice.
 */
export async function fetchModel(
  hub: Hub,
  ref: HubReference,
  options: Selection & Listener,
): Promise<ResolvedModel> {
  const name = formatReference(ref);
  try {
    const known = await cachedCommit(hub, ref);
    const cached = known === undefined ? undefined : await openCached(hub, ref, known, options);
    if (cached?.sure && known === ref.revision) return cached.model;
    if (hub.settings.offline) {
      if (cached === undefined) throw notCached(hub, ref, known);
      return cached.model;
    }
    return await fetchNews(hub, ref, options, cached?.model);
  } catch (error) {
    if (!(error instanceof TintypeError) || error.code !== "bad-argument") throw error;
    throw new TintypeError("bad-argument", `${name}: ${error.message}`, { cause: error });
  }
}

async function fetchNews(
  hub: Hub,
  ref: HubReference,
  options: Selection & Listener,
  cached: ResolvedModel | undefined,
): Promise<ResolvedModel> {
  let commit: string;
  try {
    // With something to fall back to, nobody should wait for a dead connection.
    const patience = cached === undefined ? hub.patience : { ...hub.patience, tries: 1 };
    commit = await fetchCommit({ ...hub, patience }, ref);
  } catch (error) {
    if (!(error instanceof TintypeError) || error.code !== "network") throw error;
    if (cached === undefined) throw error;
    options.notice?.(`${error.message} Using the copy in the cache.`);
    return cached;
  }
  const whole = await openCached(hub, ref, commit, options);
  const model = whole?.sure ? whole.model : await fetchMissing(hub, ref, commit, options);
  try {
    await writeCommit(hub, ref, commit);
  } catch (error) {
    if (whole === undefined) throw error; // a read-only cache that has everything will do
  }
  return model;
}

async function fetchMissing(
  hub: Hub,
  ref: HubReference,
  commit: string,
  options: Selection & Listener,
): Promise<ResolvedModel> {
  const list = await fetchFiles(hub, ref, commit);
  const snapshot = await choose(ref, list, options, async (path) => {
    await ensureFiles(
      hub,
      ref,
      commit,
      list.filter((file) => file.path === path),
    );
    return hub.platform.openFile(`${snapshotFolder(hub, ref, commit)}/${path}`);
  });
  if (snapshot.missing.length > 0) {
    throw new TintypeError(
      "not-found",
      `${formatReference(ref)}: the repository lacks ${snapshot.missing.join(", ")}, which its ` +
        "model_index.json names.",
    );
  }
  await ensureFiles(hub, ref, commit, snapshot.files, options);
  return open(hub, ref, commit, snapshot);
}

/** The model as the cache has it; undefined when something that it needs is not there. */
async function openCached(
  hub: Hub,
  ref: HubReference,
  commit: string,
  selection: Selection,
): Promise<{ readonly model: ResolvedModel; readonly sure: boolean } | undefined> {
  const { platform } = hub;
  const path = snapshotFolder(hub, ref, commit);
  if ((await platform.files.stat(path))?.kind !== "folder") return undefined;
  const folder = await platform.openFolder(path, formatReference(ref));
  const list = (await folder.list()).map((path) => ({ path }));
  try {
    const choice = await choose(ref, list, selection, (path) => folder.open(path));
    if (choice.missing.length > 0) return undefined;
    return { model: await open(hub, ref, commit, choice), sure: choice.sure };
  } catch (error) {
    if (error instanceof TintypeError) return undefined; // what is there is not enough to tell
    throw error;
  }
}

async function choose<F extends { readonly path: string }>(
  ref: HubReference,
  list: readonly F[],
  selection: Selection,
  read: (path: string) => Promise<ByteSource>,
): Promise<Choice<F>> {
  const exact = list.filter(({ path }) => path === ref.path);
  if (exact.length > 0) {
    const stem = ref.path!.replace(/\.\w+$/, "");
    const yaml = list.filter(({ path }) => [`${stem}.yaml`, `${stem}.yml`].includes(path));
    return { kind: "file", root: "", files: [...exact, ...yaml], missing: [], sure: true };
  }
  const root = ref.path === undefined ? "" : `${ref.path}/`;
  const inside = list.filter(({ path }) => path.startsWith(root));
  if (ref.path !== undefined && inside.length === 0) {
    const { id } = ref;
    throw missingInFolder(
      id,
      ref.path,
      list.map(({ path }) => path),
    );
  }
  const relative = inside.map((file) => ({ path: file.path.slice(root.length), file }));
  const names = new Set(relative.map(({ path }) => path));
  const kind = names.has("model_index.json") || names.has("config.json") ? "folder" : "file";
  if (!names.has("model_index.json")) {
    const files = filesNeeded(relative, selection).map(({ file }) => file);
    return { kind, root, files, missing: [], sure: false };
  }
  const index = componentsOf(await readJson(await read(`${root}model_index.json`)));
  const asked = selection.components;
  const parts = new Map([...index].filter(([part]) => asked?.includes(part) ?? true));
  const components = asked ?? [...index.keys()];
  const files = filesNeeded(relative, { ...selection, components }).map(({ file }) => file);
  // On the hub's own list a variant may be lacking: then the plain files are taken.
  const complete = missingParts(relative, parts, { ...selection, variant: undefined });
  const strict = missingParts(relative, parts, selection);
  return { kind, root, files, missing: complete, sure: strict.length === 0 };
}

async function open<F extends { readonly path: string }>(
  hub: Hub,
  ref: HubReference,
  commit: string,
  { kind, root, files }: Choice<F>,
): Promise<ResolvedModel> {
  const name = formatReference(ref);
  const folder = await hub.platform.openFolder(snapshotFolder(hub, ref, commit), name);
  const paths = files.map(({ path }) => path);
  if (kind === "folder") return { kind, name, folder: restrict(folder, root, paths), commit };
  const isYaml = (path: string): boolean => /\.ya?ml$/.test(path) && path !== ref.path;
  const main = paths.find((path) => !isYaml(path))!;
  const yaml = paths.find(isYaml);
  return {
    kind,
    name,
    source: await folder.open(main),
    yaml: yaml === undefined ? undefined : await folder.open(yaml),
    commit,
  };
}

/** A folder of which only some files show. `root` is "" or ends with a slash. */
function restrict(folder: Folder, root: string, paths: readonly string[]): Folder {
  const shown = paths.map((path) => path.slice(root.length)).sort();
  return {
    name: folder.name,
    list: () => Promise.resolve(shown),
    async open(path) {
      if (!shown.includes(path)) throw missingInFolder(folder.name, path, shown);
      return folder.open(root + path);
    },
  };
}

function notCached(hub: Hub, ref: HubReference, known: string | undefined): TintypeError {
  const state = known === undefined ? "is not" : "is not whole";
  return new TintypeError(
    "not-found",
    `${formatReference(ref)} ${state} in the cache ${hub.settings.cacheDir}, and HF_HUB_OFFLINE ` +
      "forbids to download it. Unset HF_HUB_OFFLINE and run again, or name a local path.",
  );
}
