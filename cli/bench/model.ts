import { PUBLISHED_SHAPES, type PublishedName } from "../../src/benchmark/publishedShapes.js";
import { randomModelBytes, writeRandomModel } from "../../src/benchmark/randomModel.js";
import { vaeFactor } from "../../src/models/vae/config.js";
import { defaultModel, findModel } from "../../src/node.js";
import { formatBytes } from "../../src/platform/formatBytes.js";
import type { Platform } from "../../src/platform/types.js";
import { check } from "../../src/util/errors.js";
import type { Progress } from "../progress.js";
import type { Terminal } from "../terminal.js";

/** A model to measure. */
export interface BenchModel {
  /** What people call it. */
  readonly title: string;
  /** What --model of `generate` takes for it. */
  readonly ref: string;
  /** Whether it lies in one folder, as diffusers has it. */
  readonly isFolder: boolean;
  /** Side of its pictures, in pixels. */
  readonly side: number;
  /** Sides of pictures are multiples of it. */
  readonly factor: number;
}

/** Where a benchmark keeps what it needs: models with random weights, and what is there for a moment. */
export function benchFolder({ cacheDir }: Pick<Platform, "cacheDir">): string {
  return `${cacheDir}/benchmark`;
}

/** Finds the model that --model names, downloads it, or writes it if its weights are random. */
export async function benchModel(
  name: string,
  platform: Platform,
  progress: Progress,
  terminal: Pick<Terminal, "live" | "signal">,
): Promise<BenchModel> {
  const { signal } = terminal;
  const isPublished = Object.hasOwn(PUBLISHED_SHAPES, name);
  const ref = isPublished
    ? await publishedModel(name as PublishedName, platform, progress, terminal)
    : name === "postcards"
      ? defaultModel()
      : name;
  const onNotice = (message: string): void => progress.notice(`tintype: ${message}`);
  const found = { platform, signal, onDownload: progress.download, onNotice };
  const { unet, vae } = await findModel(ref, found);
  const kind = (await platform.stat(ref))?.kind;
  const factor = vaeFactor(vae.config);
  return {
    title: isPublished ? `${PUBLISHED_SHAPES[name as PublishedName].title} (random weights)` : name,
    ref: kind === undefined ? ref : platform.resolve(ref),
    isFolder: kind === "folder",
    side: unet.config.sampleSize * factor,
    factor,
  };
}

/** The folder of a model of published shapes, written once into the cache. */
async function publishedModel(
  name: PublishedName,
  platform: Platform,
  progress: Progress,
  { live, signal }: Pick<Terminal, "live" | "signal">,
): Promise<string> {
  const folder = `${benchFolder(platform)}/${name}`;
  const { files } = platform;
  const isThere = async (): Promise<boolean> =>
    (await files.stat(`${folder}/model_index.json`)) !== undefined;
  if (await isThere()) return folder;
  await using _ = await platform.lock(`${folder}.lock`, { signal });
  if (await isThere()) return folder; // another process was quicker
  const shapes = PUBLISHED_SHAPES[name];
  const bytes = randomModelBytes(shapes);
  const free = (await files.freeSpace(folder)) ?? Number.POSITIVE_INFINITY;
  check(
    free >= bytes,
    "io",
    `random weights of ${shapes.title} take ${formatBytes(bytes)} in ${folder}, and ${formatBytes(free)} ` +
      "are free there. Make room, name another cache folder with TINTYPE_CACHE, or another model with --model.",
  );
  progress.notice(`writing ${formatBytes(bytes)} of random weights to ${folder}, once`);
  const title = "writing random weights";
  const onProgress = (done: number, total: number): void =>
    progress.busy(live ? `${title}, ${Math.floor((100 * done) / total)} %` : title);
  await writeRandomModel(files, folder, shapes, { signal, onProgress });
  return folder;
}
