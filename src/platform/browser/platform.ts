import { throwIfAborted } from "../../util/errors.js";
import type { FileStat, Hasher, LockOptions, Platform } from "../types.js";
import { httpFolder, httpSource } from "./http.js";
import { type OriginFiles, originFiles } from "./opfs.js";
import { sha256 } from "./sha256.js";

/** Options of `browserPlatform`. */
export interface BrowserOptions {
  /** What stands for environment variables, such as HF_TOKEN or HF_ENDPOINT. */
  readonly environment?: { readonly [name: string]: string | undefined } | undefined;
  /** Where downloads are kept; the origin private file system by default. */
  readonly storage?: OriginFiles | undefined;
}

const isUrl = (ref: string): boolean => /^(https?|blob|data):/.test(ref);

/**
 * A browser page or worker. URLs are read by range, other paths lie in the page's private storage.
 * Files that the user picks are opened with `blobSource` and `fileListFolder`.
 */
export function browserPlatform(options: BrowserOptions = {}): Platform {
  const { environment = {}, storage = originFiles() } = options;
  const get: typeof fetch = (input, init) => globalThis.fetch(input, init);
  const locate = (ref: string): string =>
    isUrl(ref)
      ? ref
      : `/${ref
          .split("/")
          .filter((p) => !["", ".", "~"].includes(p))
          .join("/")}`;
  return {
    name: "browser",
    home: "",
    cacheDir: "/.cache/tintype",
    // A page is told nothing of the machine's memory.
    availableMemory: () => undefined,
    env: (name) => (environment[name] === "" ? undefined : environment[name]),
    fetch: get,
    files: storage.files,
    resolve: locate,
    stat: (ref) => (isUrl(ref) ? statUrl(ref, get) : storage.files.stat(locate(ref))),
    openFile: (ref, name = ref) =>
      isUrl(ref) ? httpSource(ref, { fetch: get }, name) : storage.openFile(locate(ref), name),
    openFolder: (ref, name = ref) =>
      isUrl(ref)
        ? Promise.resolve(httpFolder(ref, { fetch: get }, name))
        : storage.openFolder(locate(ref), name),
    hash: (algorithm) => (algorithm === "sha256" ? sha256() : sha1()),
    lock: takeLock,
  };
}

/** A URL that ends like a checkpoint is a file; any other is a folder if it has a model_index. */
async function statUrl(url: string, get: typeof fetch): Promise<FileStat | undefined> {
  const isFile = /\.(safetensors|ckpt)$/i.test(new URL(url).pathname);
  const target = isFile ? url : `${url.replace(/\/*$/, "/")}model_index.json`;
  const source = await httpSource(target, { fetch: get }).catch(() => undefined);
  if (source === undefined) return undefined;
  return isFile ? { kind: "file", size: source.size } : { kind: "folder", size: 0 };
}

/** Of small files only, so gathering them is no harm. */
function sha1(): Hasher {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  return {
    update: (chunk) => void chunks.push(new Uint8Array(chunk)),
    async digest() {
      const bytes = await new Blob(chunks).arrayBuffer();
      const digest = new Uint8Array(await crypto.subtle.digest("SHA-1", bytes));
      return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    },
  };
}

/** Between the tabs and workers of this origin; the browser frees locks of those that close. */
async function takeLock(
  name: string,
  { signal, waiting }: LockOptions = {},
): Promise<AsyncDisposable> {
  throwIfAborted(signal);
  let release = (): void => {};
  const released = new Promise<void>((done) => {
    release = done;
  });
  const hold = (taken: (ok: boolean) => void) => (lock: Lock | null) => {
    taken(lock !== null);
    return lock === null ? undefined : released;
  };
  const request = (ifAvailable: boolean): Promise<boolean> =>
    new Promise((taken, fail) => {
      // The API takes a signal or ifAvailable, not both.
      const how = ifAvailable || signal === undefined ? { ifAvailable } : { signal };
      navigator.locks.request(name, how, hold(taken)).catch(fail);
    });
  if (!(await request(true))) {
    waiting?.();
    await request(false).catch((error: unknown) => {
      throwIfAborted(signal);
      throw error;
    });
  }
  return { [Symbol.asyncDispose]: async () => release() };
}
