import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { resolveModel } from "../../src/hub/resolve.js";
import { readHubSettings } from "../../src/hub/settings.js";
import { nodePlatform } from "../../src/platform/node/platform.js";
import { noise, platformIn, scratch } from "./fixtures.js";

const NOWHERE = "http://127.0.0.1:9";

async function message(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "no error",
    (error: Error) => error.message,
  );
}

test("local files and folders come first", async () => {
  await using home = await scratch();
  const platform = platformIn(home.path, NOWHERE);
  await mkdir(join(home.path, "models/postcards/unet"), { recursive: true });
  await writeFile(join(home.path, "models/postcards/unet/config.json"), "{}");
  await writeFile(join(home.path, "models/sd.safetensors"), noise(10));
  await writeFile(join(home.path, "models/sd.yaml"), "model: {}");
  const folder = await resolveModel("~/models/postcards", { platform });
  if (folder.kind !== "folder") throw new Error("expected a folder");
  expect(await folder.folder.list()).toEqual(["unet/config.json"]);
  const file = await resolveModel(`${home.path}/models/sd.safetensors`, { platform });
  expect(file).toMatchObject({ kind: "file", source: { size: 10 }, yaml: { size: 9 } });
});

test("a slip in a path gets the nearest name, and never asks the hub", async () => {
  await using home = await scratch();
  const platform = platformIn(home.path, NOWHERE);
  const local = { ...platform, resolve: (ref: string) => join(home.path, ref) };
  await mkdir(join(home.path, "models/postcards"), { recursive: true });
  await writeFile(join(home.path, "sd15.safetensors"), noise(1));
  const resolve = (ref: string): Promise<string> =>
    message(resolveModel(ref, { platform: { ...local, stat: async () => undefined } }));
  expect(await resolve("sd15.safetensor")).toMatchInlineSnapshot(
    `"there is no file or folder "sd15.safetensor". Did you mean "sd15.safetensors"?"`,
  );
  expect(await resolve("models/postcard")).toMatchInlineSnapshot(
    `"there is no file or folder "models/postcard", but there is "models/postcards". Name that one, or write hf://models/postcard for the Hugging Face model of this name."`,
  );
  expect(await resolve("sdxl")).toMatchInlineSnapshot(
    `"there is no file or folder "sdxl". Name a file, a folder, or a Hugging Face model as owner/name."`,
  );
  expect(await resolve("owner/name/unet/model.safetensors")).toMatchInlineSnapshot(
    `"there is no file or folder "owner/name/unet/model.safetensors". A file of a Hugging Face model is written owner/name:unet/model.safetensors."`,
  );
  expect(await resolve("https://example.test/a.safetensors")).toMatchInlineSnapshot(
    `""https://example.test/a.safetensors" is no address of http://127.0.0.1:9. Download the file first and name its path."`,
  );
  expect(await resolve("  ")).toMatchInlineSnapshot(
    `"the model's name is empty. Name a path or a model."`,
  );
});

test("settings come from the environment as in huggingface_hub", async () => {
  const read = (environment: Record<string, string>): ReturnType<typeof readHubSettings> =>
    readHubSettings(nodePlatform({ HOME: "/h", ...environment }));
  expect(await read({})).toEqual({
    endpoint: "https://huggingface.co",
    token: undefined,
    cacheDir: "/h/.cache/huggingface/hub",
    offline: false,
  });
  const cacheDir = async (environment: Record<string, string>): Promise<string> =>
    (await read(environment)).cacheDir;
  expect(await cacheDir({ XDG_CACHE_HOME: "/x" })).toBe("/x/huggingface/hub");
  expect(await cacheDir({ XDG_CACHE_HOME: "/x", HF_HOME: "~/hf" })).toBe("/h/hf/hub");
  expect(await cacheDir({ HF_HOME: "$DISK/hf", DISK: "/d" })).toBe("/d/hf/hub");
  const both = { HF_HOME: "/a", HUGGINGFACE_HUB_CACHE: "/b" };
  expect(await cacheDir(both)).toBe("/b");
  expect(await cacheDir({ ...both, HF_HUB_CACHE: "/c" })).toBe("/c");
  expect(await read({ HF_ENDPOINT: "http://m.test/", HF_TOKEN: " t \n" })).toMatchObject({
    endpoint: "http://m.test",
    token: "t",
  });
  expect((await read({ HF_HUB_OFFLINE: "0", TRANSFORMERS_OFFLINE: "1" })).offline).toBe(false);
  expect(await message(read({ HF_ENDPOINT: "m.test" }))).toMatch(/HF_ENDPOINT: expected a URL/);
  expect(await message(read({ HF_TOKEN: "hf_ä" }))).toMatch(/characters that no token has/);
});
