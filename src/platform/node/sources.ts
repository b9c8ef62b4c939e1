import { open, readdir, realpath, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import type { ByteSource, Folder } from "../../util/bytes.js";
import { checkRange } from "../../util/bytes.js";
import { TintypeError } from "../../util/errors.js";
import { nearest } from "../../util/nearest.js";
import { checkInside, missingInFolder } from "../paths.js";
import { errnoOf, fileError } from "./errors.js";

/** One read() moves at most 2 GiB - 1. */
const MAX_READ = 1 << 30;

/** A folder that holds more files than this is not a model. */
const MAX_FILES = 100_000;

/**
 * A file on the disk. It is opened for each read and closed again, so a source has no lifetime;
 * a file that changes after `openFile` is refused, never half old and half new.
 */
export async function openFile(path: string, name: string = path): Promise<ByteSource> {
  const absolute = resolve(path);
  const info = await stat(absolute).catch(async (error) => {
    if (errnoOf(error) === "ENOENT") throw await notFound(absolute, name, error);
    throw await fileError("open", name, error);
  });
  if (info.isDirectory()) {
    throw new TintypeError("io", `cannot open ${name}: it is a folder. Name a file.`);
  }
  if (!info.isFile()) {
    throw new TintypeError("io", `cannot open ${name}: it is no ordinary file.`);
  }
  const { size, mtimeMs, ino } = info;
  return {
    name,
    size,
    path: absolute,
    async read(offset, length, into) {
      checkRange(name, size, offset, length);
      try {
        await using handle = await open(absolute, "r");
        const now = await handle.stat();
        if (now.size !== size || now.mtimeMs !== mtimeMs || now.ino !== ino) throw changed(name);
        const bytes = into ?? allocate(name, length);
        for (let done = 0; done < length; ) {
          const want = Math.min(length - done, MAX_READ);
          const { bytesRead } = await handle.read(bytes, done, want, offset + done);
          if (bytesRead === 0) throw changed(name);
          done += bytesRead;
        }
        return bytes;
      } catch (error) {
        throw await fileError("read", name, error);
      }
    },
  };
}

function changed(name: string): TintypeError {
  return new TintypeError(
    "io",
    `cannot read ${name}: the file changed since it was opened. Load it again.`,
  );
}

function allocate(name: string, length: number): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(length);
  } catch (cause) {
    throw new TintypeError(
      "out-of-memory",
      `${name}: no room for ${length} bytes in memory. Close other programs or use a smaller model.`,
      { cause },
    );
  }
}

/** "not-found" with the nearest name in the folder where the path should be. */
export async function notFound(path: string, name: string, cause?: unknown): Promise<TintypeError> {
  const guess = nearest(basename(path), await readdir(join(path, "..")).catch(() => []));
  const hint =
    guess === undefined ? " Check the path." : ` Did you mean "${join(name, "..", guess)}"?`;
  return new TintypeError("not-found", `cannot open ${name}: no such file or folder.${hint}`, {
    cause,
  });
}

/**
 * The files below a folder on the disk. Symbolic links are followed (a Hugging Face snapshot is
 * made of them), broken ones and names that begin with a dot are left out.
 */
export async function openFolder(path: string, name: string = path): Promise<Folder> {
  const root = resolve(path);
  const info = await stat(root).catch(async (error) => {
    if (errnoOf(error) === "ENOENT") throw await notFound(root, name, error);
    throw await fileError("open", name, error);
  });
  if (!info.isDirectory()) {
    throw new TintypeError("io", `cannot open ${name} as a folder: it is a file.`);
  }
  const list = async (): Promise<string[]> => {
    const files: string[] = [];
    await walk(root, "", new Set(), name, files);
    return files.sort();
  };
  return {
    name,
    list,
    async open(file) {
      checkInside(name, file);
      const at = join(root, file);
      const found = await stat(at).catch(() => undefined);
      if (found === undefined) throw missingInFolder(name, file, await list());
      return openFile(at, join(name, file));
    },
  };
}

async function walk(
  folder: string,
  prefix: string,
  above: ReadonlySet<string>,
  name: string,
  files: string[],
): Promise<void> {
  const real = await realpath(folder);
  if (above.has(real)) return; // a link to a folder that holds it
  const entries = await readdir(folder).catch(async (error) => {
    throw await fileError("list", join(name, prefix), error);
  });
  for (const entry of entries) {
    if (entry.startsWith(".")) continue;
    const at = join(folder, entry);
    const info = await stat(at).catch(() => undefined);
    if (info?.isDirectory()) {
      await walk(at, `${prefix}${entry}/`, new Set([...above, real]), name, files);
    } else if (info?.isFile()) {
      files.push(`${prefix}${entry}`);
    }
    if (files.length > MAX_FILES) {
      throw new TintypeError(
        "bad-argument",
        `${name}: more than ${MAX_FILES} files lie below this folder, so it is no model. ` +
          "Name the model's own folder.",
      );
    }
  }
}
