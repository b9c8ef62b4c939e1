import { expect, test } from "vitest";
import { formatReference, parseHubId, parseHubUrl } from "./reference.js";

const HUB = "https://huggingface.co";

test.each([
  ["o/n", { id: "o/n", revision: "main" }],
  ["o/n@fp16", { id: "o/n", revision: "fp16" }],
  ["o/n@refs/pr/3", { id: "o/n", revision: "refs/pr/3" }],
  ["o/n:a.safetensors", { id: "o/n", revision: "main", path: "a.safetensors" }],
  ["o/n@v1:d/a b.ckpt", { id: "o/n", revision: "v1", path: "d/a b.ckpt" }],
  ["stabilityai/sd-vae-ft-mse", { id: "stabilityai/sd-vae-ft-mse", revision: "main" }],
])("%s is an id", (ref, expected) => {
  expect(parseHubId(ref)).toEqual(expected);
  expect(formatReference(parseHubId(ref)!)).toBe(ref);
});

test.each([
  "name",
  "./o/n",
  "../o",
  "/o/n",
  "~/models/x",
  "a/b/c",
  "C:/models/x",
  "a\\b",
  "o/x.safetensors",
  "o/x.ckpt",
  "",
  "o/",
  "/n",
  "o/n--m",
  "o/n..m",
  "-o/n",
  "o n/m",
])("%j is no id", (ref) => expect(parseHubId(ref)).toBeUndefined());

test.each([
  ["hf://o/n", { id: "o/n", revision: "main" }],
  ["hf://o/n@v1/d/a.ckpt", { id: "o/n", revision: "v1", path: "d/a.ckpt" }],
  ["hf://o/n@refs/pr/1/unet", { id: "o/n", revision: "refs/pr/1", path: "unet" }],
  [`${HUB}/o/n`, { id: "o/n", revision: "main" }],
  [`${HUB}/o/n/`, { id: "o/n", revision: "main" }],
  [`${HUB}/o/n/tree/fp16`, { id: "o/n", revision: "fp16" }],
  [`${HUB}/o/n/tree/refs%2Fpr%2F1/vae`, { id: "o/n", revision: "refs/pr/1", path: "vae" }],
  [`${HUB}/o/n/blob/main/d/a%20b.ckpt`, { id: "o/n", revision: "main", path: "d/a b.ckpt" }],
  [
    `${HUB}/o/n/resolve/main/a.safetensors?download=true`,
    { id: "o/n", revision: "main", path: "a.safetensors" },
  ],
  ["https://hf.co/o/n", { id: "o/n", revision: "main" }],
])("%s is an address", (ref, expected) => expect(parseHubUrl(ref, HUB)).toEqual(expected));

test("a hub below a path, and other addresses", () => {
  const mirror = "https://mirror.test/hf";
  expect(parseHubUrl(`${mirror}/o/n`, mirror)).toEqual({ id: "o/n", revision: "main" });
  expect(parseHubUrl("https://example.test/o/n", HUB)).toBeUndefined();
  expect(parseHubUrl("o/n", HUB)).toBeUndefined();
});

test.each(["o/n@..", "o/n@a/../b", "o/n:../x", "o/n:a//b"])("%s is refused", (ref) =>
  expect(() => parseHubId(ref)).toThrow(/names no Hugging Face model/),
);

test.each(["hf://o", "hf://", `${HUB}/o`, `${HUB}/datasets/o/n`, `${HUB}/o/n/tree/..%2F..`])(
  "%s is refused",
  (ref) => expect(() => parseHubUrl(ref, HUB)).toThrow(/names no Hugging Face model/),
);
