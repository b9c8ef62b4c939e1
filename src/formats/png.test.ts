import { readFileSync } from "node:fs";
import { deflateSync } from "node:zlib";
import fc from "fast-check";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { picture } from "../image/picture.js";
import { memorySource } from "../util/bytes.js";
import { TintypeError } from "../util/errors.js";
import { crc32, encodePng, readPngText } from "./png.js";

const SIZE = { width: 7, height: 5 };
const pixels = Uint8Array.from({ length: 7 * 5 * 3 }, (_, i) => (i * i * 31 + i) & 255);
const image = picture(SIZE.width, SIZE.height, pixels);
const source = (bytes: Uint8Array<ArrayBuffer>) => memorySource("x.png", bytes);

/** A chunk of any type, with a right checksum. */
function chunk(type: string, data: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(12 + data.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, data.length);
  out.set(new TextEncoder().encode(type), 4);
  out.set(data, 8);
  view.setUint32(8 + data.length, crc32(out.subarray(4, 8 + data.length)));
  return out;
}

/** A PNG's bytes with chunks put before its last one. */
async function withChunks(...chunks: Uint8Array[]): Promise<Uint8Array<ArrayBuffer>> {
  const plain = await encodePng(image);
  return new Uint8Array(Buffer.concat([plain.subarray(0, -12), ...chunks, plain.subarray(-12)]));
}

const bytes = (text: string): Uint8Array => Buffer.from(text, "latin1");

describe("encodePng", () => {
  it.each([
    ["noise", pixels],
    ["one colour", new Uint8Array(105).fill(77)],
    ["a ramp", Uint8Array.from({ length: 105 }, (_, i) => i)],
  ])("another decoder reads %s back", async (_, data) => {
    const png = await encodePng(picture(7, 5, data));
    const raw = await sharp(png).raw().toBuffer({ resolveWithObject: true });
    expect(raw.info).toMatchObject({ ...SIZE, channels: 3 });
    expect(new Uint8Array(raw.data)).toEqual(data);
  });

  it("smooth pictures are much smaller than their pixels", async () => {
    const data = Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => i / 192 + ((i % 192) >> 1));
    expect((await encodePng(picture(64, 64, data))).length).toBeLessThan(data.length / 20);
  });

  it("another reader finds the text: Latin-1 in tEXt, the rest in iTXt", async () => {
    const png = await encodePng(image, { parameters: "café\nSteps: 1", Title: "猫 🎨" });
    const { comments } = await sharp(png).metadata();
    expect(comments).toContainEqual({ keyword: "Title", text: "猫 🎨" });
    // libspng hands Latin-1 on as if it were UTF-8, so the bytes are looked at below.
    expect(comments?.map((comment) => comment.keyword)).toContain("parameters");
    const found = Buffer.from(png).toString("latin1");
    expect(found).toMatch(/tEXtparameters\0caf\xe9/);
    expect(found).toMatch(/iTXtTitle\0\0\0\0\0/);
  });

  it.each(["", "a\nb", "猫", "x".repeat(80)])("refuses the keyword %j", async (keyword) => {
    await expect(encodePng(image, { [keyword]: "" })).rejects.toThrow(/1 to 79 printable/);
  });
});

describe("readPngText", () => {
  it("reads back what was written", async () => {
    const keyword = fc.stringMatching(/^[a-zA-Z0-9_]{1,79}$/);
    const texts = fc.dictionary(keyword, fc.string({ unit: "binary" }), { maxKeys: 4 });
    await fc.assert(
      fc.asyncProperty(texts, async (text) => {
        expect(await readPngText(source(await encodePng(image, text)))).toEqual({ ...text });
      }),
      { seed: 1, numRuns: 60 },
    );
  });

  it("reads what Pillow writes", async () => {
    const png = new Uint8Array(readFileSync("test/golden/image/text.png"));
    expect(await readPngText(source(png))).toEqual({
      parameters: "café, 1girl\nSteps: 20",
      zipped: "déjà vu ".repeat(40),
      utf8: "猫 🎨 Ω",
      "utf8 zipped": "猫".repeat(99),
    });
  });

  it("reads compressed text of both kinds", async () => {
    const latin = chunk("zTXt", Buffer.concat([bytes("a\0\0"), deflateSync(bytes("caf\xe9"))]));
    const utf8 = deflateSync(Buffer.from("猫"));
    const png = await withChunks(
      latin,
      chunk("iTXt", Buffer.concat([bytes("b\0\x01\0en\0\xe2\0"), utf8])),
    );
    expect(await readPngText(source(png))).toEqual({ a: "café", b: "猫" });
  });

  const bomb = Buffer.concat([bytes("a\0\0"), deflateSync(new Uint8Array(2 ** 25))]);
  it.each([
    ["a keyword without end", chunk("tEXt", bytes("abc")), /no end to its keyword/],
    ["an empty keyword", chunk("tEXt", bytes("\0abc")), /keyword of 0 characters/],
    ["an unknown method", chunk("zTXt", bytes("a\0\x07x")), /packed in an unknown way/],
    ["an unknown flag", chunk("iTXt", bytes("a\0\x09\0\0\0x")), /packed in an unknown way/],
    ["a cut header", chunk("iTXt", bytes("a\0")), /packed in an unknown way/],
    ["no language", chunk("iTXt", bytes("a\0\0\0en")), /no end to its language/],
    ["broken zlib", chunk("zTXt", bytes("a\0\0xyz")), /does not unpack/],
    ["a bomb", chunk("zTXt", bomb), /does not unpack/],
    ["a wrong checksum", chunk("tEXt", bytes("a\0b")).fill(0, -4), /wrong checksum/],
    ["no chunk", bytes("\0\0\0\0????"), /no chunk at byte/],
    ["a long chunk", bytes("\xff\xff\xff\xfftEXt"), /claims 4294967295 bytes/],
  ])("%s is a bad file", async (_, extra, message) => {
    const png = await withChunks(extra);
    await expect(readPngText(source(png))).rejects.toMatchObject({
      code: "bad-file",
      message: expect.stringMatching(message) as string,
    });
  });

  it("what is no PNG, or is cut short, is a bad file", async () => {
    const png = await encodePng(image, { parameters: "x" });
    for (const wrong of [new Uint8Array(0), new Uint8Array(99), png.slice(1)]) {
      await expect(readPngText(source(wrong))).rejects.toThrow("x.png: not a PNG file.");
    }
    for (let length = 8; length < png.length; length++) {
      const got = readPngText(source(png.slice(0, length)));
      await expect(got).rejects.toMatchObject({ code: "bad-file" });
    }
  });

  it("damaged bytes give text or a TintypeError, nothing else", async () => {
    const zipped = chunk("zTXt", Buffer.concat([bytes("z\0\0"), deflateSync(bytes("zipped"))]));
    const png = await withChunks(zipped, chunk("iTXt", bytes("i\0\0\0\0\0text")));
    const damage = fc.array(fc.tuple(fc.nat(png.length - 1), fc.nat(255)), { minLength: 1 });
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(damage, async (edits) => {
        const bad = png.slice();
        for (const [at, value] of edits) bad[at] = value;
        await readPngText(source(bad)).catch((error: unknown) => {
          expect(error).toBeInstanceOf(TintypeError);
          refused++;
        });
      }),
      { seed: 2, numRuns: 2000 },
    );
    expect(refused).toBeGreaterThan(500);
  });
});
