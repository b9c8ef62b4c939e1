import type { Platform } from "../../src/platform/types.js";
import { check } from "../../src/util/errors.js";
import type { Contestant } from "./contestant.js";
import { diffusersContestant } from "./diffusers.js";
import type { BenchModel } from "./model.js";
import { type BenchOptions, DEFAULT_DTYPES } from "./options.js";
import { sdcppContestant } from "./sdcpp.js";
import { tintypeContestant } from "./tintype.js";

/** Everyone who may take part. Throws "bad-argument" for a model that another program cannot read. */
export function contestantsOf(
  options: Pick<BenchOptions, "dtype" | "against" | "device" | "threads">,
  model: BenchModel,
  platform: Pick<Platform, "resolve">,
): Contestant[] {
  const { dtype = DEFAULT_DTYPES, against = [], device, threads } = options;
  const settings = (dtype: string, device: string) => {
    return { model: model.ref, dtype, device, threads };
  };
  const own = dtype.map((name) => tintypeContestant(settings(name, device)));
  const others = against.flatMap(({ program, dtypes, path }) => {
    check(
      model.isFolder || program === "sdcpp",
      "bad-argument",
      `--against: diffusers is measured on a diffusers folder, and ${model.title} is none. Name one with --model.`,
    );
    // A path stays one; a bare name is looked for where programs are.
    const file = /[\\/]/.test(path) ? platform.resolve(path) : path;
    const make = program === "diffusers" ? diffusersContestant : sdcppContestant;
    return dtypes.map((name) => make(file, settings(name, device === "cuda" ? "cuda" : "cpu")));
  });
  return [...own, ...others];
}
