import type { Part } from "../../src/pipelines/parts.js";
import type { DTYPES } from "../generate/options.js";

/** What --part takes. */
export const PROFILE_PARTS: readonly Part[] = ["unet", "decoder", "encoder", "text"];

/** What --depth is where it is not given; all but the UNet's layers begin with "decoder" or "encoder". */
export const DEFAULT_DEPTH: Readonly<Record<Part, number>> = {
  unet: 2,
  decoder: 3,
  encoder: 3,
  text: 3,
};

/** Options of `tintype profile`, as commander parses them; undefined where not given. */
export interface ProfileOptions {
  readonly model?: string;
  readonly part: Part;
  readonly dtype: (typeof DTYPES)[number];
  readonly size?: number;
  readonly batchSize: number;
  readonly depth?: number;
  readonly runs: number;
  readonly threads?: number;
  readonly json?: boolean;
}
