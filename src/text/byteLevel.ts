/*
 * Byte-level text: UTF-8 bytes spelled with 256 printable characters, so that a vocabulary is plain
 * text (Radford et al. 2019, GPT-2). Bytes that already print stand for themselves; the others take
 * the characters from U+0100 on, in byte order.
 */

function isPrintable(byte: number): boolean {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 255 && byte !== 173);
}

const ALL_BYTES: readonly number[] = Array.from({ length: 256 }, (_, byte) => byte);
const HIDDEN: readonly number[] = ALL_BYTES.filter((byte) => !isPrintable(byte));

const CHARS: readonly string[] = ALL_BYTES.map((byte) =>
  String.fromCharCode(isPrintable(byte) ? byte : 256 + HIDDEN.indexOf(byte)),
);
const BYTES: ReadonlyMap<string, number> = new Map(CHARS.map((char, byte) => [char, byte]));

/** The 256 characters in the order of CLIP's and GPT-2's vocabularies: printable bytes first. */
export const BYTE_ALPHABET: readonly string[] = [...ALL_BYTES.filter(isPrintable), ...HIDDEN].map(
  (byte) => CHARS[byte]!,
);

/** Text -> one character per UTF-8 byte. */
export function toByteLevel(text: string): string {
  return Array.from(new TextEncoder().encode(text), (byte) => CHARS[byte]!).join("");
}

/** Tokens -> text; a token that is not byte-level stands for itself, broken UTF-8 reads as U+FFFD. */
export function fromByteLevel(tokens: readonly string[]): string {
  const bytes = tokens.flatMap((token) => {
    const spelled = Array.from(token, (char) => BYTES.get(char));
    return spelled.every((byte) => byte !== undefined)
      ? spelled
      : Array.from(new TextEncoder().encode(token));
  });
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes));
}
