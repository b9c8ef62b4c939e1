import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { access, constants, open, rm, stat } from "node:fs/promises";
import { dirname, extname, join } from "node:path";
import { fileError } from "../../src/platform/node/errors.js";
import type { Platform } from "../../src/platform/types.js";
import { TintypeError } from "../../src/util/errors.js";

const NUMBER = /%(0\d)?d/g;
const MAX_SLUG = 48;

/**
 * Names of the pictures of a run. In `template`, %d (or %03d) is the number of the picture, from 0;
 * where several pictures would share a name, the number goes before the extension. Without a
 * template a name is made of the prompt and the picture's seed, and no file is ever overwritten.
 */
export function outputNames(
  template: string | undefined,
  prompt: string,
  seeds: readonly bigint[],
): readonly string[] {
  if (template === undefined) {
    const taken = new Set<string>();
    return seeds.map((seed) => freeName(`${slug(prompt)}-${seed}`, taken));
  }
  if (extname(template).toLowerCase() !== ".png") {
    throw new TintypeError(
      "bad-argument",
      `--output: expected a name that ends in .png, got ${JSON.stringify(template)}. ` +
        "Pictures are written as PNG.",
    );
  }
  const numbered = template.search(NUMBER) >= 0;
  const pattern = numbered || seeds.length === 1 ? template : template.replace(/\.png$/i, "-%d$&");
  return seeds.map((_, k) =>
    pattern.replace(NUMBER, (_, digits = "0") => String(k).padStart(Number(digits), "0")),
  );
}

/** "A cat, at night" -> "a-cat-at-night". */
function slug(prompt: string): string {
  const parts =
    prompt
      .normalize("NFC")
      .toLowerCase()
      .match(/[\p{L}\p{M}\p{N}]+/gu) ?? [];
  let name = [...(parts.shift() ?? "tintype")].slice(0, MAX_SLUG).join("");
  for (const part of parts) {
    const longer = `${name}-${part}`;
    if ([...longer].length > MAX_SLUG) break;
    name = longer;
  }
  return name;
}

function freeName(stem: string, taken: Set<string>): string {
  for (let n = 1; ; n++) {
    const name = n === 1 ? `${stem}.png` : `${stem}-${n}.png`;
    if (taken.has(name) || existsSync(name)) continue;
    taken.add(name);
    return name;
  }
}

/**
 * Throws "io" or "not-found", naming the path, where a picture could not be written: better now
 * than after minutes of work. Leaves nothing behind.
 */
export async function requireWritable(
  names: readonly string[],
  platform: Pick<Platform, "resolve">,
): Promise<void> {
  const checked = new Set<string>();
  for (const name of names) {
    const path = platform.resolve(name);
    const folder = dirname(path);
    try {
      if (!checked.has(folder)) await writeAndRemove(folder);
      checked.add(folder);
      await requireReplaceable(path);
    } catch (error) {
      throw named(await fileError("write", name, error));
    }
  }
}

async function writeAndRemove(folder: string): Promise<void> {
  const probe = join(folder, `.tintype-${randomUUID()}`);
  const file = await open(probe, "wx").catch((error: NodeJS.ErrnoException) => {
    // A folder such as /proc, which is there but takes no files.
    if (error.code === "ENOENT" && existsSync(folder)) error.code = "EPERM";
    throw error;
  });
  await file.close();
  await rm(probe, { force: true });
}

/** Throws an errno error where `path` is a folder, or a file that may not be written. */
async function requireReplaceable(path: string): Promise<void> {
  const old = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (old === undefined) return;
  if (old.isDirectory()) throw Object.assign(new Error("is a folder"), { code: "EISDIR" });
  await access(path, constants.W_OK);
}

function named(error: unknown): unknown {
  if (!(error instanceof TintypeError)) return error;
  return new TintypeError(error.code, `--output: ${error.message}`, { cause: error });
}
