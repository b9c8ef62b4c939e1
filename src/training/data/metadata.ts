import { checkInside } from "../../platform/paths.js";
import { type ByteSource, parseJson, readText } from "../../util/bytes.js";
import { check, TintypeError } from "../../util/errors.js";
import { nearest } from "../../util/nearest.js";

/** A line of `metadata.jsonl`. */
export interface MetadataRow {
  /** Without white space around it; undefined where it is missing, null or empty. */
  readonly caption: string | undefined;
  /** From 1. */
  readonly line: number;
}

/**
 * The captions in a `metadata.jsonl`, by the picture's path: `folder` (which ends in "/", or is "")
 * and its `file_name`. Throws "bad-file" with the line for anything else than objects with a
 * file_name, for a file that is named twice, and when no line has the key `column`. Source: Hugging
 * Face datasets, "Create an image dataset", ImageFolder.
 */
export async function readMetadata(
  source: ByteSource,
  folder: string,
  column: string,
): Promise<ReadonlyMap<string, MetadataRow>> {
  const rows = new Map<string, MetadataRow>();
  const keys = new Set<string>();
  const text = (await readText(source)).replace(/^\uFEFF/, "");
  for (const [i, content] of text.split("\n").entries()) {
    if (content.trim() === "") continue;
    const where = `${source.name}, line ${i + 1}`;
    const { path, row, names } = parseRow(where, content, folder, column);
    const first = rows.get(path);
    check(
      first === undefined,
      "bad-file",
      `${where}: ${path} was named before, in line ${first?.line}. Remove one of the two.`,
    );
    rows.set(path, { ...row, line: i + 1 });
    for (const name of names) keys.add(name);
  }
  if (rows.size > 0 && !keys.has(column)) throw noColumn(source.name, column, keys);
  return rows;
}

function noColumn(name: string, column: string, keys: ReadonlySet<string>): TintypeError {
  const others = [...keys].filter((key) => key !== "file_name");
  const guess = nearest(column, others) ?? (others.length === 1 ? others[0] : undefined);
  const hint = guess === undefined ? "" : ` Did you mean "captionColumn": "${guess}"?`;
  return new TintypeError(
    "bad-file",
    `${name}: no line has the key "${column}", which should hold the caption.${hint} ` +
      `Keys: ${[...keys].join(", ")}.`,
  );
}

function parseRow(
  where: string,
  content: string,
  folder: string,
  column: string,
): { path: string; row: Pick<MetadataRow, "caption">; names: readonly string[] } {
  const value = parseJson(where, content);
  check(
    typeof value === "object" && value !== null && !Array.isArray(value),
    "bad-file",
    `${where}: expected {"file_name": ..., "${column}": ...}, got ${content.slice(0, 60)}`,
  );
  const { file_name: name } = value as { file_name?: unknown };
  check(
    typeof name === "string" && name !== "",
    "bad-file",
    `${where}: expected the picture's path in "file_name", got ${JSON.stringify(name)}.`,
  );
  const path = name.replace(/^\.\//, "");
  checkInside(where, path);
  const caption = Object.hasOwn(value, column) ? Reflect.get(value, column) : undefined;
  check(
    caption === undefined || caption === null || typeof caption === "string",
    "bad-file",
    `${where}: expected text in "${column}", got ${JSON.stringify(caption)}.`,
  );
  const trimmed = caption?.trim();
  return {
    path: `${folder}${path}`,
    row: { caption: trimmed === "" ? undefined : trimmed },
    names: Object.keys(value),
  };
}
