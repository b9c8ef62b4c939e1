import { TintypeError } from "../util/errors.js";

/** The deepest that a safetensors header nests: header, tensor, shape. Some slack for extra fields. */
const MAX_DEPTH = 16;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Index behind the string literal that begins at `start`. */
function endOfString(text: string, start: number): number {
  let i = start + 1;
  while (i < text.length && text.charCodeAt(i) !== QUOTE) {
    i += text.charCodeAt(i) === BACKSLASH ? 2 : 1;
  }
  return i + 1;
}

function isKey(text: string, end: number): boolean {
  let i = end;
  while (i < text.length && text.charCodeAt(i) <= 0x20) i++;
  return text[i] === ":";
}

/**
 * Throws "bad-file" when an object in `text` has a key twice (of which JSON.parse silently keeps
 * the last), or nests deeper than any header does. Other faults are left to JSON.parse.
 */
export function checkHeaderKeys(who: string, text: string): void {
  const scopes: Set<string>[] = [];
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === "{" || c === "[") scopes.push(new Set());
    else if (c === "}" || c === "]") scopes.pop();
    else if (c === '"') {
      const end = endOfString(text, i);
      const key = isKey(text, end) ? (JSON.parse(text.slice(i, end)) as string) : undefined;
      const scope = scopes.at(-1);
      if (key !== undefined && scope?.has(key)) {
        const message = `${who}: its header names ${JSON.stringify(key)} twice. The file is damaged.`;
        throw new TintypeError("bad-file", message);
      }
      if (key !== undefined) scope?.add(key);
      i = end - 1;
    }
    if (scopes.length > MAX_DEPTH) {
      throw new TintypeError(
        "bad-file",
        `${who}: its header nests deeper than ${MAX_DEPTH} levels.`,
      );
    }
  }
}
