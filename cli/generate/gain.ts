import { type DiffusionModel, weightBytes } from "../../src/pipelines/index.js";
import type { GenerateOptions } from "./options.js";
import type { RanOn } from "./record.js";

/** Parameters of a UNet from which on it is worth saying what int8 would save. */
const LARGE = 200e6;

const GAIN =
  "--dtype int8 would take about half the time and a third of the memory; pictures differ a little.";

/** What int8 would save, where a large model computes in fp32 on the CPU and nobody has asked for that. */
export function gainOfInt8(
  { graphs }: Pick<DiffusionModel, "graphs">,
  { device }: RanOn,
  { dtype, json }: Pick<GenerateOptions, "dtype" | "json">,
): string | undefined {
  if (dtype !== "auto" || device !== "cpu" || json === true) return undefined;
  return weightBytes(graphs.unet, 1) > LARGE ? GAIN : undefined;
}
