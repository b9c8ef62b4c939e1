import { TintypeError } from "../util/errors.js";
import { nearest } from "../util/nearest.js";

/**
 * Throws "bad-file" unless `path` stays inside the folder it is relative to. Such names come from
 * index files and from hubs, which may be hostile: no `..`, nothing absolute, no drive, no `\`.
 */
export function checkInside(folder: string, path: string): void {
  const unsafe =
    path.split("/").some((part) => part === "" || part === "." || part === "..") ||
    /[\\\0]/.test(path) ||
    /^[a-zA-Z]:/.test(path);
  if (!unsafe) return;
  throw new TintypeError(
    "bad-file",
    `${folder}: names the file ${JSON.stringify(path)}, which is no plain path inside the folder. ` +
      "Tintype does not open it.",
  );
}

/** The "not-found" of a Folder, with the nearest name that it has. */
export function missingInFolder(
  folder: string,
  path: string,
  have: Iterable<string>,
  options?: { readonly cause?: unknown },
): TintypeError {
  const guess = nearest(path, have);
  const hint = guess === undefined ? "" : ` Did you mean "${guess}"?`;
  return new TintypeError("not-found", `${folder}: has no file "${path}".${hint}`, options);
}

/** Whether a name is one that `Files.writeAtomically` gives to a file while it is written. */
export function isUnfinished(name: string): boolean {
  return /^\..*\.tmp$/.test(name);
}
