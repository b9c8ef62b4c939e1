import type { DataContext } from "./context.js";
import { listFolder } from "./folder.js";
import { checkPictureOptions, openPictures } from "./pictures.js";
import { openPostcards } from "./postcards.js";
import type { DataSpec } from "./spec.js";
import type { BatchSource } from "./types.js";
import { listShards } from "./webDataset.js";

/**
 * Opens what to train on. Dispose it to end its threads. Throws a TintypeError that names files and
 * fixes for data sets that are not there, mixed up, or without one picture that can be read.
 */
export async function openData(spec: DataSpec, context: DataContext): Promise<BatchSource> {
  if (spec.kind === "postcards") return openPostcards(spec, context);
  checkPictureOptions(spec);
  const { platform } = context;
  const listing =
    spec.kind === "folder" ? await listFolder(platform, spec) : await listShards(platform, spec);
  return openPictures(listing, spec, context);
}
