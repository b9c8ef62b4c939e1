import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { findModel, nodePlatform } from "../node.js";
import { readTensor } from "../tensor/convert.js";
import { PUBLISHED_SHAPES, type PublishedShapes } from "./publishedShapes.js";
import { randomModelBytes, writeRandomModel } from "./randomModel.js";

const space = mkdtempSync(join(tmpdir(), "tintype-random-"));
afterAll(() => rmSync(space, { recursive: true }));
const platform = nodePlatform();

/** The published model with few channels. */
function narrow(shapes: PublishedShapes): PublishedShapes {
  const { unet, vae, text } = shapes;
  const width = { crossAttentionDim: 32, blockOutChannels: [32, 32, 64, 64], heads: [1, 1, 2, 2] };
  const size = { vocabSize: 1000, hiddenSize: 32, intermediateSize: 64, layers: 2, heads: 2 };
  return {
    ...shapes,
    unet: { ...unet, ...width, normNumGroups: 8 },
    vae: { ...vae, blockOutChannels: [8, 8, 16, 16], normNumGroups: 4 },
    text: { ...text, ...size },
  };
}

test("shapes have the published numbers of parameters", () => {
  // UNet, autoencoder and text encoder, as PyTorch counts them.
  expect(randomModelBytes(PUBLISHED_SHAPES["sd1.5"])).toBe(
    4 * (859_520_964 + 83_653_863 + 123_060_480),
  );
  expect(randomModelBytes(PUBLISHED_SHAPES["sd2.1"])).toBe(
    4 * (865_910_724 + 83_653_863 + 340_387_840),
  );
});

test.each([
  ["sd1.5", "sd1", "epsilon"],
  ["sd2.1", "sd2", "v_prediction"],
] as const)("a folder of %s loads", async (name, family, prediction) => {
  const shapes = narrow(PUBLISHED_SHAPES[name]);
  const folder = join(space, name);
  const told: number[][] = [];
  const onProgress = (done: number, total: number) => void told.push([done, total]);
  await writeRandomModel(platform.files, folder, shapes, { onProgress });
  expect(told.at(-1)).toEqual([randomModelBytes(shapes), randomModelBytes(shapes)]);
  const files = await findModel(folder, { platform });
  expect(files).toMatchObject({ family, prediction });
  expect(files.unet.config).toEqual(shapes.unet);
  expect(files.text.config).toEqual(shapes.text);
  const { data } = await readTensor(files.unet.weights.get("conv_in.weight")!);
  const power = data.reduce((sum, x) => sum + x * x, 0) / data.length;
  expect(power * 4 * 9).toBeGreaterThan(0.8); // variance 1 / fan-in
  expect(power * 4 * 9).toBeLessThan(1.2);
});

test("weights are the same each time", async () => {
  const shapes = narrow(PUBLISHED_SHAPES["sd1.5"]);
  await writeRandomModel(platform.files, join(space, "again"), shapes);
  const file = "unet/diffusion_pytorch_model.safetensors";
  const bytes = (folder: string): Buffer => readFileSync(join(space, folder, file));
  expect(bytes("again").equals(bytes("sd1.5"))).toBe(true);
});

test("a model that was not finished is no model", async () => {
  const stop = new AbortController();
  const folder = join(space, "stopped");
  const onProgress = () => stop.abort();
  const options = { onProgress, signal: stop.signal };
  const shapes = narrow(PUBLISHED_SHAPES["sd1.5"]);
  await expect(writeRandomModel(platform.files, folder, shapes, options)).rejects.toMatchObject({
    code: "aborted",
  });
  expect(statSync(folder).isDirectory()).toBe(true);
  expect(() => statSync(join(folder, "model_index.json"))).toThrow("ENOENT");
});
