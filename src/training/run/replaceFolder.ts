import type { Files } from "../../platform/types.js";

/** Names beside a folder, for as long as it is written or removed. */
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
  await files.removeFolder(fresh);
  try {
    await files.makeFolder(fresh);
    await write(fresh);
    await files.removeFolder(old);
    if ((await files.stat(path)) !== undefined) await files.rename(path, old);
    await files.rename(fresh, path);
    await files.removeFolder(old);
  } catch (error) {
    await files.removeFolder(fresh).catch(() => {});
    throw error;
  }
  return path;
}

/** Removes a folder, if it is there. It is renamed first, so that nobody finds half of it. */
export async function removeWholeFolder(files: Files, parent: string, name: string): Promise<void> {
  const { path, old } = namesBeside(parent, name);
  if ((await files.stat(path)) === undefined) return;
  await files.removeFolder(old);
  await files.rename(path, old);
  await files.removeFolder(old);
}
