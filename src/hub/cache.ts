import { formatBytes } from "../platform/formatBytes.js";
import { readText } from "../util/bytes.js";
import { TintypeError } from "../util/errors.js";
import { type Hub, type RepoFile, resolveUrl } from "./client.js";
import { download } from "./download.js";
import { formatReference, type HubReference } from "./reference.js";

/** How far the downloads of one model are; bytes and files that were in the cache do not count. */
export interface DownloadProgress {
  /** The file that moved, by its path in the repository. */
  readonly file: string;
  readonly fileDone: number;
  readonly fileTotal: number;
  readonly done: number;
  readonly total: number;
  readonly filesDone: number;
  readonly files: number;
}

/** Who wants to know what the cache does. */
export interface Listener {
  readonly progress?: ((progress: DownloadProgress) => void) | undefined;
  /** One plain sentence that the user should see. */
  readonly notice?: ((message: string) => void) | undefined;
}

const AT_ONCE = 4;

function repoFolder(hub: Hub, { id }: HubReference): string {
  return `${hub.settings.cacheDir}/${repoName(id)}`;
}

function repoName(id: string): string {
  return `models--${id.replace("/", "--")}`;
}

/** The folder that shows a commit's files under their own names. */
export function snapshotFolder(hub: Hub, ref: HubReference, commit: string): string {
  return `${repoFolder(hub, ref)}/snapshots/${commit}`;
}

/** The commit that the cache last saw for a revision; undefined when it never did. */
export async function cachedCommit(hub: Hub, ref: HubReference): Promise<string | undefined> {
  if (/^[0-9a-f]{40}$/.test(ref.revision)) return ref.revision;
  const path = `${repoFolder(hub, ref)}/refs/${ref.revision}`;
  if ((await hub.platform.files.stat(path))?.kind !== "file") return undefined;
  const commit = (await readText(await hub.platform.openFile(path))).trim();
  return /^[0-9a-f]{40}$/.test(commit) ? commit : undefined;
}

/** Notes the commit of a revision, if it is news. */
export async function writeCommit(hub: Hub, ref: HubReference, commit: string): Promise<void> {
  if ((await cachedCommit(hub, ref)) === commit) return;
  const path = `${repoFolder(hub, ref)}/refs/${ref.revision}`;
  const { files } = hub.platform;
  await files.makeFolder(path.slice(0, path.lastIndexOf("/")));
  await files.writeAtomically(path, [new TextEncoder().encode(commit)]);
}

/**
 * Makes the snapshot of a commit show these files: what is not in the cache is downloaded, a few
 * at a time. Layout: `blobs/<etag>` and links to them in `snapshots/<commit>/`, as Python's
 * huggingface_hub has it, so that each finds what the other fetched.
 */
export async function ensureFiles(
  hub: Hub,
  ref: HubReference,
  commit: string,
  wanted: readonly RepoFile[],
  listener: Listener = {},
): Promise<void> {
  const missing: RepoFile[] = [];
  for (const file of wanted) {
    const pointer = `${snapshotFolder(hub, ref, commit)}/${file.path}`;
    if ((await hub.platform.files.stat(pointer))?.size !== file.size) missing.push(file);
  }
  if (missing.length === 0) return;
  await checkSpace(hub, ref, missing);
  const report = tally(missing, listener);
  const stop = new AbortController();
  const signal =
    hub.signal === undefined ? stop.signal : AbortSignal.any([hub.signal, stop.signal]);
  const queue = [...missing];
  let failure: { readonly error: unknown } | undefined;
  const work = async (): Promise<void> => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      try {
        await ensureFile({ ...hub, signal }, ref, commit, file, report(file), listener);
      } catch (error) {
        failure ??= { error };
        queue.length = 0;
        stop.abort();
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  if (failure !== undefined) throw failure.error;
}

async function ensureFile(
  hub: Hub,
  ref: HubReference,
  commit: string,
  file: RepoFile,
  onBytes: (done: number, finished?: boolean) => void,
  { notice }: Listener,
): Promise<void> {
  const { files, lock } = hub.platform;
  const { cacheDir } = hub.settings;
  const blob = `${repoFolder(hub, ref)}/blobs/${file.etag}`;
  const pointer = `${snapshotFolder(hub, ref, commit)}/${file.path}`;
  await files.makeFolder(`${repoFolder(hub, ref)}/blobs`);
  await files.makeFolder(pointer.slice(0, pointer.lastIndexOf("/")));
  const waiting = (): void =>
    notice?.(`another process is downloading ${file.path}: waiting for it to finish`);
  const held = `${cacheDir}/.locks/${repoName(ref.id)}/${file.etag}.tintype.lock`;
  await using _ = await lock(held, { signal: hub.signal, waiting });
  if ((await files.stat(pointer))?.size !== file.size) {
    if ((await files.stat(blob))?.size !== file.size) {
      const url = resolveUrl(hub, ref, commit, file.path);
      await download(hub, { ref, file, url, blob, onBytes });
    }
    await files.link(blob, pointer);
  }
  onBytes(file.size, true);
}

/** Adds up the progress of several files. */
function tally(
  missing: readonly RepoFile[],
  { progress }: Listener,
): (file: RepoFile) => (bytes: number, finished?: boolean) => void {
  const bytesOf = new Map<RepoFile, number>();
  const total = missing.reduce((sum, file) => sum + file.size, 0);
  let done = 0;
  let filesDone = 0;
  return (file) =>
    (bytes, finished = false) => {
      done += bytes - (bytesOf.get(file) ?? 0);
      bytesOf.set(file, bytes);
      if (finished) filesDone++;
      progress?.({
        file: file.path,
        fileDone: bytes,
        fileTotal: file.size,
        done,
        total,
        filesDone,
        files: missing.length,
      });
    };
}

/** Refuses before the first byte what cannot fit. */
async function checkSpace(
  hub: Hub,
  ref: HubReference,
  missing: readonly RepoFile[],
): Promise<void> {
  const { files } = hub.platform;
  let bytes = 0;
  for (const { etag, size } of missing) {
    const blob = `${repoFolder(hub, ref)}/blobs/${etag}`;
    const have = (await files.stat(blob)) ?? (await files.stat(`${blob}.tintype.incomplete`));
    bytes += Math.max(0, size - (have?.size ?? 0));
  }
  const free = await files.freeSpace(hub.settings.cacheDir);
  if (free === undefined || bytes <= free) return;
  throw new TintypeError(
    "io",
    `cannot download ${formatReference(ref)}: it needs ${formatBytes(bytes)} more, but only ` +
      `${formatBytes(free)} are free in ${hub.settings.cacheDir}. Free some space, or set ` +
      "HF_HOME to a folder on a larger disk.",
  );
}
