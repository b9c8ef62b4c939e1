import type { Platform } from "../../platform/types.js";
import { TintypeError } from "../../util/errors.js";
import { oneLine } from "../../util/oneLine.js";
import type { DataContext } from "./context.js";
import { listFolder } from "./folder.js";
import type { Listing } from "./listing.js";
import { checkPictureOptions, openPictures } from "./pictures.js";
import { openPostcards } from "./postcards.js";
import type { DataSpec, FolderSpec, WebDatasetSpec } from "./spec.js";
import type { BatchSource } from "./types.js";
import { listShards } from "./webDataset.js";

/**
 * Opens what to train on. Dispose it to end its threads. Throws a TintypeError that names files and
 * fixes for data sets that are not there, mixed up, or without one picture that can be read.
 */
export async function openData(spec: DataSpec, context: DataContext): Promise<BatchSource> {
  if (spec.kind === "postcards") return openPostcards(spec, context);
  checkPictureOptions(spec);
  return openPictures(await list(spec, context.platform), spec, context);
}

/** Lists a data set. Its errors quote names and captions, in which anything may stand. */
async function list(spec: FolderSpec | WebDatasetSpec, platform: Platform): Promise<Listing> {
  try {
    return await (spec.kind === "folder" ? listFolder(platform, spec) : listShards(platform, spec));
  } catch (error) {
    if (!(error instanceof TintypeError)) throw error;
    const { code, problem, advice } = error;
    const details = { cause: error, ...(advice === undefined ? {} : { advice }) };
    throw new TintypeError(code, oneLine(problem), details);
  }
}
