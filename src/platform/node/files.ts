import { randomBytes } from "node:crypto";
import {
  access,
  constants,
  copyFile,
  type FileHandle,
  link as hardLink,
  mkdir,
  open,
  readdir,
  realpath,
  rename,
  rm,
  stat,
  symlink,
} from "node:fs/promises";
import { basename, dirname, join, relative, resolve } from "node:path";
import { throwIfAborted } from "../../util/errors.js";
import type { Chunks, FileStat, Files, Sink, WriteOptions } from "../types.js";
import { errnoOf, fileError, freeSpace } from "./errors.js";

/** The files of this machine. */
export const nodeFiles: Files = {
  stat: statOf,
  async list(path) {
    try {
      return (await readdir(path)).sort();
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return [];
      throw await fileError("list", path, error);
    }
  },
  makeFolder: (path) => attempt("make", path, () => mkdir(path, { recursive: true })),
  writeAtomically,
  append,
  rename: (from, to, { durable = true } = {}) =>
    attempt("write", to, async () => {
      await rename(from, to);
      if (durable) await syncFolder(dirname(to));
    }),
  remove: (path) => attempt("remove", path, () => rm(path, { force: true })),
  removeFolder: (path) =>
    attempt("remove", path, () => rm(path, { force: true, recursive: true, maxRetries: 3 })),
  link: (target, path) => attempt("write", path, () => makeLink(resolve(target), resolve(path))),
  freeSpace,
};

async function attempt(verb: string, path: string, act: () => Promise<unknown>): Promise<void> {
  try {
    await act();
  } catch (error) {
    throw await fileError(verb, path, error);
  }
}

/** What is at `path`; undefined when nothing is there, or a broken link. */
export async function statOf(path: string): Promise<FileStat | undefined> {
  try {
    const info = await stat(path);
    const modified = info.mtimeMs;
    return info.isDirectory()
      ? { kind: "folder", size: 0, modified }
      : { kind: "file", size: info.size, modified };
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "ELOOP"].includes(errnoOf(error) ?? "")) return undefined;
    throw await fileError("open", path, error);
  }
}

async function writeAtomically(
  path: string,
  chunks: Chunks,
  { signal, durable = true }: WriteOptions = {},
): Promise<void> {
  try {
    throwIfAborted(signal);
    // Through a link to the file it shows, so that the link stays.
    const target = await realpath(path).catch(() => resolve(path));
    const old = await stat(target).catch(() => undefined);
    if (old?.isDirectory()) throw Object.assign(new Error("is a folder"), { code: "EISDIR" });
    if (old !== undefined) await access(target, constants.W_OK);
    // A device or a pipe (/dev/stdout) has nothing to be renamed over.
    if (old !== undefined && !old.isFile()) return await writeInto(target, chunks, signal);
    await replaceFile(target, old?.mode, chunks, { signal, durable });
  } catch (error) {
    throw await fileError("write", path, error);
  }
}

async function replaceFile(
  target: string,
  mode: number | undefined,
  chunks: Chunks,
  { signal, durable }: WriteOptions,
): Promise<void> {
  const unique = `${process.pid}-${randomBytes(4).toString("hex")}`;
  const temporary = join(dirname(target), `.${basename(target).slice(0, 100)}.${unique}.tmp`);
  try {
    const file = await open(temporary, "wx", mode ?? 0o666);
    try {
      for await (const chunk of chunks) {
        throwIfAborted(signal);
        await writeAll(file, chunk);
      }
      if (durable) await file.sync();
    } finally {
      await file.close();
    }
    throwIfAborted(signal);
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  if (durable) await syncFolder(dirname(target));
}

async function writeInto(
  target: string,
  chunks: Chunks,
  signal: AbortSignal | undefined,
): Promise<void> {
  await using file = await open(target, "w");
  for await (const chunk of chunks) {
    throwIfAborted(signal);
    await writeAll(file, chunk);
  }
}

/** write() may take only a part. */
async function writeAll(file: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let done = 0; done < chunk.byteLength; ) {
    done += (await file.write(chunk, done, chunk.byteLength - done)).bytesWritten;
  }
}

/** So that the new name survives a power cut; not every system can, and then nothing is lost. */
async function syncFolder(folder: string): Promise<void> {
  try {
    await using handle = await open(folder, "r");
    await handle.sync();
  } catch {
    // Windows and some network disks have no such call.
  }
}

/**
 * Writes at positions of its own rather than at the end, so that two writers of the same bytes
 * cannot spoil each other's file.
 */
async function append(path: string, keep: number): Promise<Sink> {
  const file = await open(path, constants.O_RDWR | constants.O_CREAT, 0o666).catch(
    async (error) => {
      throw await fileError("write", path, error);
    },
  );
  let end = keep;
  try {
    if ((await file.stat()).size > keep) await file.truncate(keep);
  } catch (error) {
    await file.close();
    throw await fileError("write", path, error);
  }
  return {
    write: (chunk) =>
      attempt("write", path, async () => {
        for (let done = 0; done < chunk.byteLength; ) {
          const length = chunk.byteLength - done;
          const { bytesWritten } = await file.write(chunk, done, length, end);
          [done, end] = [done + bytesWritten, end + bytesWritten];
        }
      }),
    close: () =>
      attempt("write", path, async () => {
        try {
          await file.sync();
        } finally {
          await file.close();
        }
      }),
  };
}

/** Writes bytes at a place of a file that is there. Throws "io". */
export async function overwrite(path: string, at: number, bytes: Uint8Array): Promise<void> {
  await attempt("write", path, async () => {
    await using file = await open(path, "r+");
    for (let done = 0; done < bytes.byteLength; ) {
      const { bytesWritten } = await file.write(bytes, done, bytes.byteLength - done, at + done);
      done += bytesWritten;
    }
  });
}

/** Links are relative, so that a cache can be moved or mounted elsewhere. */
async function makeLink(target: string, path: string): Promise<void> {
  const temporary = `${path}.${process.pid}-${randomBytes(4).toString("hex")}.tmp`;
  const ways = [
    () => symlink(relative(dirname(path), target), temporary),
    () => hardLink(target, temporary),
    () => copyFile(target, temporary),
  ];
  for (const [i, make] of ways.entries()) {
    try {
      await make();
      await rename(temporary, path);
      return;
    } catch (error) {
      await rm(temporary, { force: true });
      if (i + 1 === ways.length || errnoOf(error) === "ENOSPC") throw error;
    }
  }
}
