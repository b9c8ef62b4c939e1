import type { FileSummary, ModelSummary } from "../../src/checkpoints/index.js";
import type { parseParameters } from "../../src/formats/index.js";
import type { Defaults } from "../../src/pipelines/index.js";
import type { DeviceMemory } from "./needs.js";

/** Options of `tintype inspect`. */
export interface InspectOptions {
  readonly json?: boolean;
}

/** A model that runs. */
export interface InspectedModel extends ModelSummary {
  readonly kind: "model";
  readonly runs: true;
  /** Bytes for one picture of the model's own size. */
  readonly memory: readonly DeviceMemory[];
  readonly width: number;
  readonly height: number;
  /** What `generate` takes where it is told nothing. */
  readonly defaults: Pick<Defaults, "steps" | "guidanceScale"> & {
    /** null: as the scheduler has it. */
    readonly sampler: string | null;
  };
}

/** Weights that do not run as they are. */
export interface InspectedFiles {
  readonly kind: "weights";
  readonly runs: false;
  readonly name: string;
  /** Why not. */
  readonly reason: string;
  readonly files: readonly FileSummary[];
}

/** A picture and the text in it. */
export interface InspectedPicture {
  readonly kind: "picture";
  readonly name: string;
  readonly width: number;
  readonly height: number;
  /** All its text by keyword. */
  readonly text: Readonly<Record<string, string>>;
  /** What the text `parameters` says. */
  readonly parameters: ReturnType<typeof parseParameters> | undefined;
}
