import { TintypeError } from "../util/errors.js";
import type { PickleValue } from "./pickleValues.js";

/** The bytes end before the pickle does. */
export class PickleCutError extends TintypeError {
  constructor(who: string, size: number) {
    super("bad-file", `${who}: its pickle is cut short at ${size} bytes. Download it again.`);
  }
}

/** A place in the bytes of a pickle. */
export interface PickleReader {
  /** What messages call the pickle. */
  readonly who: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView;
  at: number;
}

/** Limits on what one argument may take. */
const MAX_INTEGER_BYTES = 64;
const MAX_LINE_BYTES = 1 << 20;

/** Throws "bad-file", naming the byte. */
export function broken(m: PickleReader, what: string): never {
  throw new TintypeError(
    "bad-file",
    `${m.who}: its pickle is damaged at byte ${m.at}: ${what}. Download it again.`,
  );
}

/** Advances over `length` bytes and returns where they begin. */
export function take(m: PickleReader, length: number): number {
  if (length < 0) broken(m, `a length of ${length}`);
  if (m.at + length > m.bytes.length) throw new PickleCutError(m.who, m.bytes.length);
  m.at += length;
  return m.at - length;
}

export const u8 = (m: PickleReader): number => m.view.getUint8(take(m, 1));
export const u16 = (m: PickleReader): number => m.view.getUint16(take(m, 2), true);
export const i32 = (m: PickleReader): number => m.view.getInt32(take(m, 4), true);
export const u32 = (m: PickleReader): number => m.view.getUint32(take(m, 4), true);
export const u64 = (m: PickleReader): number => Number(m.view.getBigUint64(take(m, 8), true));

/** Bytes, not copied. */
export function raw(m: PickleReader, length: number): Uint8Array<ArrayBuffer> {
  const at = take(m, length);
  return m.bytes.subarray(at, at + length);
}

/** Text; a lone surrogate, which Python would keep, becomes U+FFFD. */
export function utf8(m: PickleReader, length: number): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(raw(m, length));
}

/** A `str` of Python 2, which is text in practice and bytes in principle. */
export function oldString(bytes: Uint8Array<ArrayBuffer>): PickleValue {
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  return text.includes("\ufffd") ? bytes : text;
}

/** A line of Latin-1, without its end. (TextDecoder knows only windows-1252.) */
export function line(m: PickleReader): string {
  const end = m.bytes.indexOf(0x0a, m.at);
  if (end < 0) throw new PickleCutError(m.who, m.bytes.length);
  if (end - m.at > MAX_LINE_BYTES) broken(m, `a line of ${end - m.at} bytes`);
  const text = Array.from(m.bytes.subarray(m.at, end), (b) => String.fromCharCode(b)).join("");
  m.at = end + 1;
  return text;
}

function shrink(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** LONG1, LONG4: little-endian two's complement of any length. */
export function longInteger(m: PickleReader, length: number): number | bigint {
  if (length > MAX_INTEGER_BYTES) broken(m, `an integer of ${length} bytes`);
  let value = 0n;
  for (const byte of [...raw(m, length)].reverse()) value = (value << 8n) | BigInt(byte);
  return shrink(BigInt.asIntN(8 * length, value));
}

/** INT, LONG: decimal, with an L behind it from Python 2; INT writes booleans as 00 and 01. */
export function decimalInteger(m: PickleReader): PickleValue {
  const text = line(m);
  if (text === "00" || text === "01") return text === "01";
  const digits = text.replace(/L$/, "");
  if (digits.length > 2 * MAX_INTEGER_BYTES || !/^[+-]?\d+$/.test(digits)) {
    broken(m, "a number that is none");
  }
  return shrink(BigInt(digits.replace(/^\+/, "")));
}

export function decimalFloat(m: PickleReader): number {
  const text = line(m).trim();
  if (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) return Number(text);
  const special = /^([+-]?)(nan|inf(?:inity)?)$/i.exec(text);
  if (special === null) broken(m, "a number that is none");
  if (special[2]!.toLowerCase() === "nan") return Number.NaN;
  return special[1] === "-" ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
}

const ESCAPES: Readonly<Record<string, string>> = {
  "\\": "\\",
  "'": "'",
  '"': '"',
  n: "\n",
  r: "\r",
  t: "\t",
  a: "\x07",
  b: "\b",
  f: "\f",
  v: "\v",
};

/** STRING: the `repr` of a Python 2 str. */
export function quotedString(m: PickleReader): PickleValue {
  const text = line(m).trim();
  const quote = text[0];
  if (text.length < 2 || (quote !== "'" && quote !== '"') || !text.endsWith(quote)) {
    broken(m, "a string without quotes");
  }
  const plain = text
    .slice(1, -1)
    .replace(/\\(?:x([0-9a-fA-F]{2})|([0-7]{1,3})|(.))/g, (whole, hex, octal, char) => {
      if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
      if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8) & 0xff);
      return ESCAPES[char] ?? whole;
    });
  return oldString(Uint8Array.from(plain, (c) => c.charCodeAt(0)));
}

/** UNICODE: Python's raw-unicode-escape. */
export function escapedUnicode(m: PickleReader): string {
  return line(m).replace(/\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})/g, (whole, short, long) => {
    const code = Number.parseInt(short ?? long, 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}
