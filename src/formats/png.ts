import type { Picture } from "../image/picture.js";
import type { ByteSource } from "../util/bytes.js";
import { check, TintypeError } from "../util/errors.js";

const SIGNATURE: readonly number[] = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const BYTES_PER_PIXEL = 3;

// More text than this in one file, once unpacked, is no prompt but an attack.
const MAX_TEXT = 16 * 2 ** 20;

const CRC_TABLE: Uint32Array = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c;
});

/** CRC-32 of the concatenated parts. Source: PNG 1.2, annex D. */
export function crc32(...parts: readonly Uint8Array[]): number {
  let c = 0xffffffff;
  for (const part of parts) for (const b of part) c = CRC_TABLE[(c ^ b) & 0xff]! ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}

function ascii(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function uint32(value: number): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(4);
  new DataView(out.buffer).setUint32(0, value);
  return out;
}

function chunk(type: string, ...data: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const name = ascii(type);
  const length = data.reduce((sum, part) => sum + part.length, 0);
  return concat([uint32(length), name, ...data, uint32(crc32(name, ...data))]);
}

function paeth(left: number, up: number, upLeft: number): number {
  const p = left + up - upLeft;
  const [a, b, c] = [Math.abs(p - left), Math.abs(p - up), Math.abs(p - upLeft)];
  if (a <= b && a <= c) return left;
  return b <= c ? up : upLeft;
}

/** What each of PNG's five filters predicts for a byte from its neighbours. */
const PREDICTORS: readonly ((left: number, up: number, upLeft: number) => number)[] = [
  () => 0,
  (left) => left,
  (_, up) => up,
  (left, up) => (left + up) >> 1,
  paeth,
];

/** Each row by the filter with the least sum of differences, the heuristic of PNG 1.2, section 9.6. */
function filterRows({ width, height, data }: Picture): Uint8Array<ArrayBuffer> {
  const stride = width * BYTES_PER_PIXEL;
  const out = new Uint8Array(height * (stride + 1));
  const candidate = new Uint8Array(stride);
  for (let y = 0; y < height; y++) {
    const row = y * stride;
    let best = Number.POSITIVE_INFINITY;
    for (const [type, predict] of PREDICTORS.entries()) {
      let sum = 0;
      for (let i = 0; i < stride; i++) {
        const left = i < BYTES_PER_PIXEL ? 0 : data[row + i - BYTES_PER_PIXEL]!;
        const up = y === 0 ? 0 : data[row + i - stride]!;
        const upLeft =
          y === 0 || i < BYTES_PER_PIXEL ? 0 : data[row + i - stride - BYTES_PER_PIXEL]!;
        const difference = (data[row + i]! - predict(left, up, upLeft)) & 0xff;
        candidate[i] = difference;
        sum += difference < 128 ? difference : 256 - difference;
      }
      if (sum >= best) continue;
      best = sum;
      out[y * (stride + 1)] = type;
      out.set(candidate, y * (stride + 1) + 1);
    }
  }
  return out;
}

async function deflate(data: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([data]).stream().pipeThrough(new CompressionStream("deflate"));
  const parts: Uint8Array<ArrayBuffer>[] = [];
  // Not by way of a Response: Node.js would load all of fetch for it.
  for (const reader = stream.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) return concat(parts);
    parts.push(value);
  }
}

function textChunk(keyword: string, text: string): Uint8Array<ArrayBuffer> {
  check(
    /^[\x20-\x7e\xa1-\xff]{1,79}$/.test(keyword),
    "bad-argument",
    `PNG text: a keyword must be 1 to 79 printable Latin-1 characters, got ${JSON.stringify(keyword)}`,
  );
  const head = ascii(`${keyword}\0`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: Latin-1 begins with them; NUL is not allowed
  if (/^[\x01-\xff]*$/.test(text)) return chunk("tEXt", head, ascii(text));
  // not compressed, no language, no translated keyword
  return chunk("iTXt", head, ascii("\0\0\0\0"), new TextEncoder().encode(text));
}

/**
 * An 8-bit RGB PNG, with text by keyword: tEXt where Latin-1 can spell it and iTXt otherwise, as
 * Pillow's PngInfo.add_text. Source: W3C PNG (second edition).
 */
export async function encodePng(
  picture: Picture,
  text: Readonly<Record<string, string>> = {},
): Promise<Uint8Array<ArrayBuffer>> {
  const { width, height } = picture;
  const [depth, rgb, deflated, adaptive, progressive] = [8, 2, 0, 0, 0];
  return concat([
    Uint8Array.from(SIGNATURE),
    chunk(
      "IHDR",
      uint32(width),
      uint32(height),
      Uint8Array.of(depth, rgb, deflated, adaptive, progressive),
    ),
    ...Object.entries(text).map(([keyword, value]) => textChunk(keyword, value)),
    chunk("IDAT", await deflate(filterRows(picture))),
    chunk("IEND"),
  ]);
}

/** zlib -> bytes, of which no more than `limit` are made. */
async function inflate(
  name: string,
  data: Uint8Array<ArrayBuffer>,
  limit: number,
): Promise<Uint8Array> {
  const stream = new Blob([data]).stream().pipeThrough(new DecompressionStream("deflate"));
  const parts: Uint8Array[] = [];
  let length = 0;
  try {
    for (const reader = stream.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) return concat(parts);
      parts.push(value);
      length += value.length;
      if (length > limit) {
        await reader.cancel();
        throw new Error(`more than ${limit} bytes`);
      }
    }
  } catch (cause) {
    throw new TintypeError("bad-file", `${name}: a compressed text does not unpack.`, { cause });
  }
}

function latin1(data: Uint8Array): string {
  let text = "";
  for (const byte of data) text += String.fromCharCode(byte);
  return text;
}

type TextType = "tEXt" | "zTXt" | "iTXt";

/** Keyword and text of one chunk; the text may unpack to `limit` bytes. */
async function parseText(
  name: string,
  type: TextType,
  data: Uint8Array<ArrayBuffer>,
  limit: number,
): Promise<[string, string]> {
  let at = 0;
  const untilNul = (what: string): Uint8Array<ArrayBuffer> => {
    const end = data.indexOf(0, at);
    check(end >= 0, "bad-file", `${name}: a ${type} chunk has no end to its ${what}.`);
    const field = data.subarray(at, end);
    at = end + 1;
    return field;
  };
  const keyword = latin1(untilNul("keyword"));
  check(
    keyword.length >= 1 && keyword.length <= 79,
    "bad-file",
    `${name}: a ${type} chunk has a keyword of ${keyword.length} characters, expected 1 to 79.`,
  );
  if (type === "tEXt") return [keyword, latin1(data.subarray(at))];
  const packed = type === "zTXt" ? 1 : data[at++];
  const method = data[at++];
  check(
    (packed === 0 || packed === 1) && method === 0,
    "bad-file",
    `${name}: the text "${keyword}" is packed in an unknown way (${packed}, ${method}).`,
  );
  if (type === "zTXt") return [keyword, latin1(await inflate(name, data.slice(at), limit))];
  untilNul("language");
  untilNul("translated keyword");
  const utf8 = packed === 1 ? await inflate(name, data.slice(at), limit) : data.subarray(at);
  return [keyword, new TextDecoder("utf-8", { ignoreBOM: true }).decode(utf8)];
}

function isText(type: string): type is TextType {
  return type === "tEXt" || type === "zTXt" || type === "iTXt";
}

/**
 * The text chunks of a PNG, by keyword; of several with one keyword the last counts. Pixels are not
 * read. Throws "bad-file" for what is no PNG, for lengths beyond the file, and for wrong checksums.
 */
export async function readPngText(source: ByteSource): Promise<Record<string, string>> {
  const { name, size } = source;
  const head = size < 8 ? new Uint8Array(0) : await source.read(0, 8);
  check(
    head.length === 8 && SIGNATURE.every((byte, i) => head[i] === byte),
    "bad-file",
    `${name}: not a PNG file.`,
  );
  const found = new Map<string, string>();
  let left = MAX_TEXT;
  for (let at = 8; ; ) {
    const header = await source.read(at, 8);
    const length = new DataView(header.buffer, header.byteOffset).getUint32(0);
    const type = latin1(header.subarray(4));
    check(/^[A-Za-z]{4}$/.test(type), "bad-file", `${name}: no chunk at byte ${at}.`);
    check(
      at + 12 + length <= size,
      "bad-file",
      `${name}: its ${type} chunk claims ${length} bytes, more than the file holds. It is probably cut short.`,
    );
    if (type === "IEND") return Object.fromEntries(found);
    if (isText(type)) {
      check(length <= left, "bad-file", `${name}: more than ${MAX_TEXT} bytes of text is absurd.`);
      const data = await source.read(at + 8, length);
      const crc = await source.read(at + 8 + length, 4);
      check(
        new DataView(crc.buffer, crc.byteOffset).getUint32(0) === crc32(header.subarray(4), data),
        "bad-file",
        `${name}: a ${type} chunk has a wrong checksum. The file is damaged.`,
      );
      const [keyword, text] = await parseText(name, type, data, left);
      left -= text.length;
      found.set(keyword, text);
    }
    at += 12 + length;
  }
}
