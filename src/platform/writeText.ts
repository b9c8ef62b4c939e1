import type { Files } from "./types.js";

/** Writes a text file in UTF-8, whole or not at all. */
export async function writeText(files: Files, path: string, text: string): Promise<void> {
  await files.writeAtomically(path, [new TextEncoder().encode(text)]);
}

/** Writes a value as config files are: JSON, indented, with a newline at its end. */
export async function writeJson(files: Files, path: string, value: unknown): Promise<void> {
  await writeText(files, path, `${JSON.stringify(value, null, 2)}\n`);
}
