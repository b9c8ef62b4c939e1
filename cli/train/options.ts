import type { TRAINING_NAMES } from "../names.js";

/** What can be trained. */
export type TrainingName = (typeof TRAINING_NAMES)[number];

/** Options of `tintype train`, as commander parses them; undefined where not given. */
export interface TrainOptions {
  readonly config?: string;
  readonly set?: readonly string[];
  readonly out?: string;
  readonly resume?: string;
  readonly export?: boolean;
}
