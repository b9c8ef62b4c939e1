import { statfs } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { type ErrorCode, TintypeError } from "../../util/errors.js";
import { formatBytes } from "../formatBytes.js";

/** The errno of a Node error ("ENOENT"), or undefined. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

/** Free bytes on the file system of `path`, or of its nearest parent that exists. */
export async function freeSpace(path: string): Promise<number | undefined> {
  for (let at = resolve(path); ; at = dirname(at)) {
    try {
      const { bavail, bsize, blocks } = await statfs(at);
      return blocks === 0 ? undefined : bavail * bsize;
    } catch (error) {
      if (errnoOf(error) !== "ENOENT" || dirname(at) === at) return undefined;
    }
  }
}

/** What each errno means to a person, and what they can do. */
const REASONS: { readonly [errno: string]: readonly [ErrorCode, string] } = {
  ENOENT: ["not-found", "there is no such file or folder. Check the path."],
  ENOTDIR: ["not-found", "a part of the path is a file, not a folder. Check the path."],
  EISDIR: ["io", "it is a folder. Name a file."],
  EACCES: ["io", "permission denied. Change its permissions, or choose another place."],
  EPERM: ["io", "the system does not permit it. Change its permissions, or choose another place."],
  EROFS: ["io", "the disk is mounted read-only. Choose another place."],
  EDQUOT: ["io", "your disk quota is used up. Free some space, or choose another place."],
  EFBIG: ["io", "the file is larger than this file system or your limits allow."],
  ELOOP: ["io", "its symbolic links go round in a circle."],
  ENAMETOOLONG: ["io", "the name is too long. Choose a shorter one."],
  EMFILE: ["io", "too many open files. Raise the limit (ulimit -n), or close some programs."],
  ENFILE: ["io", "the system has too many open files. Close some programs."],
  EBUSY: ["io", "another program is using it. Close that program and try again."],
  EIO: ["io", "the disk reports an input/output error. Check the disk."],
  ENOTEMPTY: ["io", "the folder is not empty."],
};

/**
 * Turns what `node:fs` threw into an error that a user can act on: `cannot write out.png: ...`.
 * A TintypeError comes back unchanged; what has no errno is a bug, and does too.
 */
export async function fileError(verb: string, path: string, error: unknown): Promise<unknown> {
  const errno = errnoOf(error);
  if (error instanceof TintypeError || errno === undefined || !/^E[A-Z0-9]+$/.test(errno)) {
    return error;
  }
  const [code, reason] = await reasonFor(errno, verb, path, (error as Error).message);
  return new TintypeError(code, `cannot ${verb} ${path}: ${reason}`, { cause: error });
}

async function reasonFor(
  errno: string,
  verb: string,
  path: string,
  message: string,
): Promise<readonly [ErrorCode, string]> {
  if (errno === "ENOSPC") return ["io", await diskFull(path)];
  if (errno === "ENOENT" && verb === "write") {
    const folder = dirname(resolve(path));
    return ["not-found", `the folder ${folder} does not exist. Make it, or choose another place.`];
  }
  return REASONS[errno] ?? ["io", `${message}.`];
}

async function diskFull(path: string): Promise<string> {
  const folder = dirname(resolve(path));
  const free = await freeSpace(folder);
  const left = free === undefined ? "" : ` (${formatBytes(free)} free)`;
  return `the disk of ${folder} is full${left}. Free some space, or choose another place.`;
}
