import type { Files } from "../../platform/types.js";

/** Names beside a folder for as long as it is written or removed: `fresh` counts for nothing, `old` is whole. */
const namesBeside = (parent: string, name: string) => ({
  path: `${parent}/${name}`,
  fresh: `${parent}/.${name}.new`,
  old: `${parent}/.${name}.old`,
});

/**
 * Makes `parent/name` the folder that `write` fills: one beside it, which takes its place once it is
 * whole. An error leaves no trace of it, and what was there before. Returns the folder's path.
 */
export async function replaceFolder(
  files: Files,
  parent: string,
  name: string,
  write: (folder: string) => Promise<void>,
): Promise<string> {
  const { path, fresh, old } = namesBeside(parent, name);
  await settleFolder(files, parent, name);
  try {
    await files.makeFolder(fresh);
    await write(fresh);
    if ((await files.stat(path)) !== undefined) await files.rename(path, old);
    await files.rename(fresh, path);
    await files.removeFolder(old);
  } catch (error) {
    await settleFolder(files, parent, name).catch(() => {});
    throw error;
  }
  return path;
}

/**
 * Clears away what a process that was killed in `replaceFolder` left beside `parent/name`. Where it
 * was killed between the two renames, the folder from before is put back.
 */
export async function settleFolder(files: Files, parent: string, name: string): Promise<void> {
  const { path, fresh, old } = namesBeside(parent, name);
  const isAway = (await files.stat(path)) === undefined && (await files.stat(old)) !== undefined;
  if (isAway) await files.rename(old, path);
  else await files.removeFolder(old);
  await files.removeFolder(fresh);
}

/** Removes a folder, if it is there. It is renamed first, so that nobody finds half of it. */
export async function removeWholeFolder(files: Files, parent: string, name: string): Promise<void> {
  const { path, fresh } = namesBeside(parent, name);
  if ((await files.stat(path)) === undefined) return;
  await files.removeFolder(fresh);
  await files.rename(path, fresh);
  await files.removeFolder(fresh);
}
