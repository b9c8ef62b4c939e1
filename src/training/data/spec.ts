import * as v from "valibot";
import { type ConfigSchema, oneOf, real, text, whole } from "../schema.js";

/** How pictures of any size become pictures of a few sizes. */
export interface PictureOptions {
  /** The pixels of a picture are about its square. */
  readonly resolution: number;
  /** Whether pictures keep about their shape; otherwise all become squares. */
  readonly buckets: boolean;
  /** Width and height are multiples of it. */
  readonly multipleOf: number;
  /** The longer side over the shorter one is at most this. */
  readonly maxAspect: number;
  /** Which part is kept of a picture that does not quite have the shape of its bucket. */
  readonly keep: "center" | "random";
  /** Takes a random square of this side, after the shorter side was made `resolution`. */
  readonly crop?: number | undefined;
  /** Mirrors half of the pictures, although captions may say left and right. */
  readonly flip: boolean;
  readonly resample: "lanczos" | "cubic";
}

/** Pictures in a folder and the folders in it. */
export interface FolderSpec extends PictureOptions {
  readonly kind: "folder";
  readonly path: string;
  readonly captions: "required" | "optional";
  /** Key of `metadata.jsonl` that holds the caption. */
  readonly captionColumn: string;
  readonly workers: number;
}

/** WebDataset shards: `key.jpg` with `key.txt` or `key.json` in tar files. */
export interface WebDatasetSpec extends PictureOptions {
  readonly kind: "webdataset";
  /** Tar files, folders of them, or patterns: `data-{000..011}.tar`. */
  readonly shards: string | readonly string[];
  readonly captions: "required" | "optional";
  /** Takes the caption from this key of `key.json`; otherwise `key.txt`, then its key "caption". */
  readonly captionField?: string | undefined;
  readonly workers: number;
}

/** Scenes that the painter draws on the way, 128x128, never held-out ones. */
export interface PostcardsSpec {
  readonly kind: "postcards";
  /** Takes a random square of this side out of each picture. */
  readonly crop?: number | undefined;
  /**
   * The first of the seeds, which count up from there. Where it is not given, it is 0 with `count`,
   * and follows from the run's seed otherwise.
   */
  readonly firstSeed?: number | undefined;
  /** How many different postcards there are; endless where it is not given. */
  readonly count?: number | undefined;
  readonly workers: number;
}

/** What to train on, as plain JSON. */
export type DataSpec = FolderSpec | WebDatasetSpec | PostcardsSpec;

const side: ConfigSchema<number> = whole(8, 4096);
const workers: ConfigSchema<number> = v.optional(whole(1, 64), 1);
const captions: ConfigSchema<"required" | "optional"> = v.optional(
  oneOf(["required", "optional"]),
  "required",
);

const pictureEntries = {
  resolution: v.optional(side, 512),
  buckets: v.optional(v.boolean(), true),
  multipleOf: v.optional(whole(1, 512), 64),
  maxAspect: v.optional(real(1, 16), 2),
  keep: v.optional(oneOf(["center", "random"]), "center"),
  crop: v.optional(side),
  flip: v.optional(v.boolean(), false),
  resample: v.optional(oneOf(["lanczos", "cubic"]), "lanczos"),
};

const folder = v.strictObject({
  kind: v.literal("folder"),
  path: text("a path"),
  captions,
  captionColumn: v.optional(text("the name of a key"), "text"),
  ...pictureEntries,
  workers,
});

const webdataset = v.strictObject({
  kind: v.literal("webdataset"),
  shards: v.union([text("a path"), v.pipe(v.array(text("a path")), v.minLength(1, "a path"))]),
  captions,
  captionField: v.optional(text("the name of a key")),
  ...pictureEntries,
  workers,
});

const postcards = v.strictObject({
  kind: v.literal("postcards"),
  crop: v.optional(whole(8, 128)),
  firstSeed: v.optional(whole(0, 2 ** 32 - 1)),
  count: v.optional(whole(1, 2 ** 32)),
  workers,
});

/** `data` of every kind of training. */
export const dataSchema: ConfigSchema<DataSpec> = v.variant("kind", [
  folder,
  webdataset,
  postcards,
]);
