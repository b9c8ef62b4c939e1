import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { tensor } from "../tensor/tensor.js";
import {
  fitToMultipleOf8,
  latentMask,
  latentsToRgb,
  mask,
  maskedImage,
  maskToTensor,
  picture,
  picturesToTensor,
  type Resample,
  resize,
  resizeMask,
  tensorToPictures,
} from "./index.js";

function golden<T>(name: string): T {
  return JSON.parse(readFileSync(`test/golden/image/${name}`, "utf8")) as T;
}

function bytes(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.from(base64, "base64"));
}

function floats(base64: string): Float32Array<ArrayBuffer> {
  return new Float32Array(bytes(base64).buffer);
}

/** The noise of scripts/golden/image.py. */
function noise(count: number, seed: number): Uint8Array<ArrayBuffer> {
  let x = BigInt(seed);
  return Uint8Array.from({ length: count }, () => {
    x = (1103515245n * x + 12345n) & 0x7fffffffn;
    return Number((x >> 16n) & 255n);
  });
}

interface ResizeCase {
  readonly mode: "RGB" | "L";
  readonly from: [number, number];
  readonly to: [number, number];
  readonly filter: Resample;
  readonly seed: number;
  readonly sha256: string;
  readonly data?: string;
}

describe("resize gives Pillow's bytes", () => {
  it.each(golden<ResizeCase[]>("resize.json"))("$mode $from to $to, $filter", (c) => {
    const [w, h] = c.from;
    const image =
      c.mode === "RGB"
        ? resize(picture(w, h, noise(w * h * 3, c.seed)), ...c.to, c.filter)
        : resizeMask(mask(w, h, noise(w * h, c.seed)), ...c.to, c.filter);
    if (c.data !== undefined) expect(image.data).toEqual(bytes(c.data));
    expect(createHash("sha256").update(image.data).digest("hex").slice(0, 32)).toBe(c.sha256);
    expect([image.width, image.height]).toEqual(c.to);
  });

  it("refuses sizes that are none", () => {
    const image = picture(1, 1, new Uint8Array(3));
    expect(() => resize(image, 0, 8)).toThrow("resize: width must be a positive integer, got 0");
    expect(() => resize(image, 8, 2.5)).toThrow("height must be a positive integer, got 2.5");
  });
});

type TensorCase = { name: string } & Record<string, string>;

describe("pictures and tensors, as VaeImageProcessor", () => {
  const cases = golden<TensorCase[]>("tensors.json");
  const find = (name: string): TensorCase => cases.find((c) => c.name === name)!;

  it.each(["linspace", "halves"])("postprocess: %s", (name) => {
    const { x, rgb } = find(name);
    const [image] = tensorToPictures(tensor([1, 3, 16, 16], floats(x!)));
    expect(image!.data).toEqual(bytes(rgb!));
  });

  it("preprocess floors the size to multiples of 8", () => {
    const image = fitToMultipleOf8(picture(21, 18, noise(21 * 18 * 3, 40)));
    const got = picturesToTensor([image]);
    expect(got.shape).toEqual([1, 3, 16, 16]);
    expect(got.data).toEqual(floats(find("preprocess").x!));
  });

  it.each(["RGB", "L"])("mask %s", (mode) => {
    const [w, h] = [45, 31];
    const image =
      mode === "RGB" ? picture(w, h, noise(w * h * 3, 41)) : mask(w, h, noise(w * h, 41));
    const expected = find(`mask ${mode}`);
    const got = maskToTensor(image, 32, 24);
    expect(got.shape).toEqual([1, 1, 24, 32]);
    expect(got.data.join("")).toBe(expected.mask);
    expect(latentMask(got, 3, 4).data.join("")).toBe(expected.small);
    expect(latentMask(got, 5, 7).data.join("")).toBe(expected.odd);
  });

  it("every byte survives the way to a tensor and back", () => {
    const image = picture(16, 16, noise(768, 3));
    const other = picture(16, 16, noise(768, 4));
    expect(tensorToPictures(picturesToTensor([image, other]))).toEqual([image, other]);
  });

  it("NaN is black and infinity white", () => {
    const x = Float32Array.of(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY);
    expect([...tensorToPictures(tensor([1, 3, 1, 1], x))[0]!.data]).toEqual([0, 255, 0]);
  });

  it("refuses batches of mixed sizes and pictures below 8 pixels", () => {
    const [a, b] = [picture(8, 1, new Uint8Array(24)), picture(1, 8, new Uint8Array(24))];
    expect(() => picturesToTensor([a, b])).toThrow("one size, got 8x1 and 1x8");
    expect(() => fitToMultipleOf8(a)).toThrow("at least 8x8 pixels, got 8x1");
  });
});

it("maskedImage blanks what the mask covers, in every picture of the batch", () => {
  const image = tensor(
    [2, 3, 1, 2],
    Float32Array.from({ length: 12 }, (_, i) => i + 1),
  );
  const got = maskedImage(image, tensor([1, 1, 1, 2], Float32Array.of(1, 0)));
  expect([...got.data]).toEqual([0, 2, 0, 4, 0, 6, 0, 8, 0, 10, 0, 12]);
});

it("latentsToRgb mixes the channels around gray", () => {
  const data = Float32Array.of(0, 1, 0, 0, 0, 0, 0, 10);
  const [preview] = latentsToRgb(tensor([1, 4, 1, 2], data));
  expect(preview).toEqual(
    // 0.3512 + 1 - 2.12 and so on, from [-1, 1] to bytes
    picture(2, 1, Uint8Array.of(128, 128, 128, 0, 0, 0)),
  );
  const [one] = latentsToRgb(tensor([1, 4, 1, 1], Float32Array.of(1, 0, 0, 0)));
  expect([...one!.data]).toEqual([172, 157, 169]);
});
