import sharp, { type Sharp } from "sharp";
import { describe, expect, it } from "vitest";
import { type Picture, picture } from "../../image/picture.js";
import { resize } from "../../image/resize.js";
import { cut, mirrored, partOffset } from "../../image/window.js";
import { type Framing, framePicture, pictureSize } from "./framing.js";
import { decodePicture } from "./images.js";

type Size = readonly [number, number];

/** Smooth colours with some edges. */
function scene(width: number, height: number): Picture {
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const [c, x, y] = [i % 3, Math.floor(i / 3) % width, Math.floor(i / 3 / width)];
    const box = x > width / 3 && y > height / 2 ? 60 : 0;
    return 100 + 60 * Math.sin((x * (c + 1)) / 9) * Math.cos(y / 7) + box;
  });
  return picture(width, height, data);
}

const image = ({ width, height, data }: Picture): Sharp =>
  sharp(data, { raw: { width, height, channels: 3 } });

const framing = (
  cover: readonly [number, number],
  size: readonly [number, number] = cover,
  at: readonly [number, number] = [0.5, 0.5],
): Framing => ({ cover, size, at, resample: "lanczos" });

function meanDifference(a: Picture, b: Picture): number {
  expect([a.width, a.height]).toEqual([b.width, b.height]);
  return a.data.reduce((sum, x, i) => sum + Math.abs(x - b.data[i]!), 0) / a.data.length;
}

describe("framePicture", () => {
  const source = scene(160, 120);

  it("keeps a picture of the right size as it is", async () => {
    const bytes = await image(source).png().toBuffer();
    expect(await framePicture(bytes, "a", framing([160, 120]))).toEqual(source);
  });

  it.each<{ cover: Size; scaled: Size }>([
    { cover: [80, 60], scaled: [80, 60] },
    { cover: [80, 80], scaled: [107, 80] },
    { cover: [64, 128], scaled: [171, 128] },
    { cover: [320, 240], scaled: [320, 240] },
  ])("covers $cover like Pillow's Lanczos, and cuts from the middle", async ({ cover, scaled }) => {
    const bytes = await image(source).png().toBuffer();
    const got = await framePicture(bytes, "a", framing(cover));
    const whole = resize(source, ...scaled);
    const left = partOffset(scaled[0], cover[0], 0.5);
    const expected = cut(whole, [left, partOffset(scaled[1], cover[1], 0.5)], cover);
    expect(meanDifference(got, expected)).toBeLessThan(0.5);
  });

  it("cuts at the edges and between", async () => {
    const bytes = await image(source).png().toBuffer();
    for (const [at, left, top] of [
      [[0, 0], 0, 0],
      [[0.999, 0.999], 128, 88],
      [[0.5, 0.25], 64, 22],
    ] as const) {
      const got = await framePicture(bytes, "a", framing([160, 120], [32, 32], at));
      expect(got).toEqual(cut(source, [left, top], [32, 32]));
    }
  });

  it("large JPEG files, which are decoded smaller, look the same", async () => {
    const large = scene(1600, 1200);
    const bytes = await image(large).jpeg({ quality: 95 }).toBuffer();
    const got = await framePicture(bytes, "a", framing([200, 150]));
    expect(meanDifference(got, resize(large, 200, 150))).toBeLessThan(1.5);
  });

  it("turns upright, and drops alpha, gray and 16 bits as decodePicture does", async () => {
    const turned = await image(source).withMetadata({ orientation: 6 }).jpeg().toBuffer();
    expect(await pictureSize(turned, "a")).toEqual([120, 160]);
    const all: Readonly<Record<string, Buffer>> = {
      turned,
      alpha: await image(source).ensureAlpha(0.2).png().toBuffer(),
      gray: await image(source).grayscale().png().toBuffer(),
      webp: await image(source).webp({ lossless: true }).toBuffer(),
      deep: await image(source).toColourspace("rgb16").png().toBuffer(),
      cmyk: await image(source).toColourspace("cmyk").jpeg().toBuffer(),
    };
    for (const [name, bytes] of Object.entries(all)) {
      const plain = await decodePicture(bytes, name);
      const size = [plain.width, plain.height] as const;
      expect(await pictureSize(bytes, name), name).toEqual(size);
      expect(meanDifference(await framePicture(bytes, name, framing(size)), plain), name).toBe(0);
    }
  });

  it("knows the size from the first bytes", async () => {
    const bytes = await image(scene(900, 700)).png().toBuffer();
    expect(await pictureSize(bytes.subarray(0, 4096), "a")).toEqual([900, 700]);
    await expect(pictureSize(bytes.subarray(1), "b.png")).rejects.toThrow(/b\.png: cannot be read/);
  });

  it("mirrors", () => {
    const row = picture(3, 1, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9));
    expect([...mirrored(row).data]).toEqual([7, 8, 9, 4, 5, 6, 1, 2, 3]);
  });
});
