import type { ByteSource, Folder } from "../../util/bytes.js";
import { TintypeError, throwIfAborted } from "../../util/errors.js";
import { checkInside, missingInFolder } from "../paths.js";
import type { Files, Sink } from "../types.js";
import { blobSource } from "./blobs.js";

/** Files of a browser's private storage, and how to open them. */
export interface OriginFiles {
  readonly files: Files;
  openFile(path: string, name?: string): Promise<ByteSource>;
  openFolder(path: string, name?: string): Promise<Folder>;
}

/** What TypeScript's DOM types lack as yet. */
interface MovableHandle extends FileSystemFileHandle {
  move?(folder: FileSystemDirectoryHandle, name: string): Promise<void>;
}

interface SyncHandle {
  truncate(size: number): void;
  getSize(): number;
  write(bytes: Uint8Array, options: { readonly at: number }): number;
  flush(): void;
  close(): void;
}

interface WorkerHandle extends FileSystemFileHandle {
  createSyncAccessHandle?(): Promise<SyncHandle>;
}

type Root = () => Promise<FileSystemDirectoryHandle>;

/**
 * The origin private file system, where a page keeps the models it downloaded. `root` gives its
 * top folder; by default the browser's own.
 */
export function originFiles(root: Root = () => navigator.storage.getDirectory()): OriginFiles {
  const at = (path: string): Promise<FileSystemFileHandle> => fileAt(root, path, false);
  const files: Files = {
    async stat(path) {
      const file = await at(path).catch(nothing);
      if (file !== undefined) return { kind: "file", size: (await file.getFile()).size };
      const folder = await folderAt(root, path, false).catch(nothing);
      return folder === undefined ? undefined : { kind: "folder", size: 0 };
    },
    async list(path) {
      const folder = await folderAt(root, path, false).catch(nothing);
      const names: string[] = [];
      if (folder !== undefined) for await (const name of folder.keys()) names.push(name);
      return names.sort();
    },
    makeFolder: async (path) => void (await folderAt(root, path, true)),
    writeAtomically: (path, chunks, { signal } = {}) =>
      guard("write", path, async () => {
        const handle = await fileAt(root, path, true);
        const { size } = await handle.getFile();
        // Gathers in a file of the browser's and takes the name at close().
        const stream = await handle.createWritable();
        try {
          for await (const chunk of chunks) {
            throwIfAborted(signal);
            await stream.write(chunk as Uint8Array<ArrayBuffer>);
          }
          throwIfAborted(signal);
          await stream.close();
        } catch (error) {
          await stream.abort().catch(() => {});
          if (size === 0) await files.remove(path);
          throw error;
        }
      }),
    append: (path, keep) => guard("write", path, () => append(root, path, keep)),
    rename: (from, to) => guard("write", to, () => move(root, from, to)),
    async remove(path) {
      const folder = await folderAt(root, parentOf(path), false).catch(nothing);
      await folder?.removeEntry(baseOf(path)).catch(nothing);
    },
    async removeFolder(path) {
      const folder = await folderAt(root, parentOf(path), false).catch(nothing);
      await folder?.removeEntry(baseOf(path), { recursive: true }).catch(nothing);
    },
    // No links here: the file itself moves.
    link: (target, path) => guard("write", path, () => move(root, target, path)),
    async freeSpace() {
      const { quota, usage } = (await globalThis.navigator?.storage?.estimate?.()) ?? {};
      return quota === undefined ? undefined : quota - (usage ?? 0);
    },
  };
  return {
    files,
    openFile: (path, name = path) =>
      guard("open", name, async () => blobSource(await (await at(path)).getFile(), name)),
    openFolder: (path, name = path) => guard("open", name, () => openFolder(root, path, name)),
  };
}

const partsOf = (path: string): string[] => path.split("/").filter((part) => part !== "");
const baseOf = (path: string): string => partsOf(path).at(-1) ?? "";
const parentOf = (path: string): string => partsOf(path).slice(0, -1).join("/");

async function folderAt(
  root: Root,
  path: string,
  create: boolean,
): Promise<FileSystemDirectoryHandle> {
  let folder = await root();
  for (const part of partsOf(path)) folder = await folder.getDirectoryHandle(part, { create });
  return folder;
}

async function fileAt(root: Root, path: string, create: boolean): Promise<FileSystemFileHandle> {
  const folder = await folderAt(root, parentOf(path), false);
  return folder.getFileHandle(baseOf(path), { create });
}

/** For "not there", which is an answer. */
function nothing(error: unknown): undefined {
  const { name } = error as { name?: unknown };
  if (name === "NotFoundError" || name === "TypeMismatchError") return undefined;
  throw error;
}

async function guard<T>(verb: string, path: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (cause) {
    const { name } = cause as { name?: unknown };
    if (name === "NotFoundError") {
      const message = `cannot ${verb} ${path}: it is not in this browser's storage.`;
      throw new TintypeError("not-found", message, { cause });
    }
    if (name === "QuotaExceededError") {
      const advice = "Free space on the disk, or remove models that you no longer use.";
      const message = `cannot ${verb} ${path}: this browser's storage for the page is full.`;
      throw new TintypeError("io", `${message} ${advice}`, { cause });
    }
    if (!(cause instanceof Error) || cause instanceof TintypeError) throw cause;
    if (!(cause instanceof DOMException)) throw cause;
    throw new TintypeError("io", `cannot ${verb} ${path}: ${cause.message}.`, { cause });
  }
}

/** In a worker bytes reach the disk as they come; in a page only when the sink is closed. */
async function append(root: Root, path: string, keep: number): Promise<Sink> {
  const handle: WorkerHandle = await fileAt(root, path, true);
  let end = keep;
  if (handle.createSyncAccessHandle !== undefined) {
    const file = await handle.createSyncAccessHandle();
    if (file.getSize() > keep) file.truncate(keep);
    return {
      write: (chunk) =>
        guard("write", path, async () => {
          for (let done = 0; done < chunk.byteLength; ) {
            const written = file.write(chunk.subarray(done), { at: end });
            [done, end] = [done + written, end + written];
          }
        }),
      close: () =>
        guard("write", path, async () => {
          file.flush();
          file.close();
        }),
    };
  }
  const stream = await handle.createWritable({ keepExistingData: keep > 0 });
  await stream.truncate(keep);
  return {
    write: (chunk) =>
      guard("write", path, async () => {
        const data = chunk as Uint8Array<ArrayBuffer>;
        await stream.write({ type: "write", position: end, data });
        end += chunk.byteLength;
      }),
    close: () => guard("write", path, () => stream.close()),
  };
}

async function move(root: Root, from: string, to: string): Promise<void> {
  const source: MovableHandle = await fileAt(root, from, false);
  const folder = await folderAt(root, parentOf(to), false);
  await folder.removeEntry(baseOf(to)).catch(nothing);
  if (source.move !== undefined) return source.move(folder, baseOf(to));
  const target = await folder.getFileHandle(baseOf(to), { create: true });
  await (await source.getFile()).stream().pipeTo(await target.createWritable());
  await (await folderAt(root, parentOf(from), false)).removeEntry(baseOf(from));
}

async function openFolder(root: Root, path: string, name: string): Promise<Folder> {
  const top = await folderAt(root, path, false);
  const list = async (): Promise<readonly string[]> => {
    const found: string[] = [];
    const walk = async (folder: FileSystemDirectoryHandle, prefix: string): Promise<void> => {
      for await (const [entry, handle] of folder.entries()) {
        if (handle.kind === "directory") {
          await walk(handle as FileSystemDirectoryHandle, `${prefix}${entry}/`);
        } else {
          found.push(prefix + entry);
        }
      }
    };
    await walk(top, "");
    return found.sort();
  };
  return {
    name,
    list,
    async open(file) {
      checkInside(name, file);
      const handle = await fileAt(() => Promise.resolve(top), file, false).catch(nothing);
      if (handle === undefined) throw missingInFolder(name, file, await list());
      return blobSource(await handle.getFile(), `${name}/${file}`);
    },
  };
}
