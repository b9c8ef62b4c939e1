import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { crc32 } from "../../formats/png.js";
import { decodeMask, decodePicture } from "./images.js";

interface Case {
  readonly name: string;
  readonly size: [number, number];
  readonly rgb: string;
  readonly luma: string;
}

const cases = JSON.parse(readFileSync("test/golden/image/decode.json", "utf8")) as Case[];
const file = (name: string): Uint8Array => readFileSync(`test/golden/image/files/${name}`);
const bytes = (base64: string): Uint8Array => Uint8Array.from(Buffer.from(base64, "base64"));

/** Pillow clips 16-bit gray at 255, which leaves a white picture; here it keeps the high byte. */
const CLIPPED = ["gray16.png", "gray16-low.png"];

describe("decodePicture gives the pixels of diffusers' load_image", () => {
  it.each(cases.filter((c) => !CLIPPED.includes(c.name)))("$name", async ({ name, ...c }) => {
    const got = await decodePicture(file(name), name);
    expect([got.width, got.height]).toEqual(c.size);
    // Not one level off, JPEG and WebP included: sharp and Pillow carry the same decoders.
    expect(got.data).toEqual(bytes(c.rgb));
    expect((await decodeMask(file(name), name)).data).toEqual(bytes(c.luma));
  });

  it("16-bit gray keeps its high byte", async () => {
    const gray = await decodePicture(file("gray16.png"), "gray16.png");
    const color = await decodePicture(file("rgb16.png"), "rgb16.png");
    // Both files hold the same bytes, one sample a pixel and three.
    const row = Array.from({ length: 19 }, (_, i) => gray.data[i * 3]);
    expect(row).toEqual([...color.data.subarray(0, 19)]);
    const low = await decodePicture(file("gray16-low.png"), "gray16-low.png");
    expect(low.data.every((v) => v === 0)).toBe(true);
  });
});

describe("what is no picture", () => {
  const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect/></svg>';
  const cut = (name: string, keep: number): Uint8Array => {
    const whole = file(name);
    return whole.subarray(0, Math.trunc(whole.length * keep));
  };
  /** A PNG header that promises 60000 x 60000 pixels. */
  const bomb = Uint8Array.from(file("rgb.png"));
  const view = new DataView(bomb.buffer);
  view.setUint32(16, 60000);
  view.setUint32(20, 60000);
  view.setUint32(29, crc32(bomb.subarray(12, 29)));

  it.each([
    ["an empty file", new Uint8Array(0), /x\.png: cannot be read as a picture/],
    ["text", new TextEncoder().encode("not a picture"), /x\.png: cannot be read as a picture/],
    ["SVG", new TextEncoder().encode(svg), /x\.png: cannot be read.*svg files are not supported/],
    ["half a PNG", cut("rgb.png", 0.5), /x\.png: cannot be read/],
    ["half a JPEG", cut("noise.jpg", 0.7), /x\.png: cannot be read/],
    ["half a WebP", cut("lossless-alpha.webp", 0.5), /x\.png: cannot be read/],
    ["a decompression bomb", bomb, /x\.png: 60000x60000 pixels are more than the/],
  ])("%s is a bad file", async (_, data, message) => {
    await expect(decodePicture(data, "x.png")).rejects.toMatchObject({
      code: "bad-file",
      message: expect.stringMatching(message) as string,
    });
  });
});
