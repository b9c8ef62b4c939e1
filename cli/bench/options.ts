import type { ProgramName } from "../../src/benchmark/results.js";
import { TintypeError } from "../../src/util/errors.js";
import { unknownName } from "../../src/util/nearest.js";
import { type DEVICES, DTYPES } from "../generate/options.js";

/** What --parts takes. */
export const BENCH_PARTS = ["load", "cold", "text", "step", "decode", "picture"] as const;

export type BenchPart = (typeof BENCH_PARTS)[number];

/** Parts that are measured where none is named: all but the one that writes gigabytes each time. */
export const DEFAULT_PARTS: readonly BenchPart[] = BENCH_PARTS.filter((part) => part !== "cold");

/** Dtypes that are tried where none is named: those that can be chosen. */
export const DEFAULT_DTYPES: readonly string[] = DTYPES.filter((dtype) => dtype !== "auto");

/** Models that --model knows by name: random weights of published shapes, and the one that is shipped. */
export const BENCH_MODELS = ["sd1.5", "sd2.1", "postcards"] as const;

/** Another program to measure beside Tintype. */
export interface Against {
  readonly program: Exclude<ProgramName, "tintype">;
  readonly dtypes: readonly string[];
  /** Its Python, or itself. */
  readonly path: string;
}

/** Options of `tintype bench`, as commander parses them; undefined where not given. */
export interface BenchOptions {
  readonly model: string;
  readonly dtype?: readonly string[];
  readonly size?: readonly number[];
  readonly steps: number;
  readonly rounds: number;
  readonly parts?: readonly BenchPart[];
  readonly against?: readonly Against[];
  readonly device: (typeof DEVICES)[number];
  readonly threads?: number;
  readonly out: string;
  readonly json?: boolean;
}

/** What each program computes in where --against does not say. */
const OTHERS: Readonly<Record<Against["program"], readonly string[]>> = {
  diffusers: ["fp32", "bf16"],
  sdcpp: ["f16", "q8_0"],
};

/** "diffusers:PYTHON", "sdcpp/q8_0,q4_0:BINARY". Throws "bad-argument" for anything else. */
export function parseAgainst(text: string): Against {
  const [, name = "", dtypes, path = ""] = /^([^:/]*)(?:\/([^:]*))?(?::(.*))?$/s.exec(text) ?? [];
  const names = Object.keys(OTHERS);
  if (!names.includes(name)) {
    throw new TintypeError("bad-argument", `--against: ${unknownName("program", name, names)}`);
  }
  if (path === "") {
    const what = name === "diffusers" ? "PYTHON" : "BINARY";
    throw new TintypeError(
      "bad-argument",
      `--against: expected ${name}:${what}, got ${JSON.stringify(text)}. ` +
        "Say after a colon where it is.",
    );
  }
  const program = name as Against["program"];
  const chosen = dtypes?.split(",").filter((dtype) => dtype !== "") ?? [];
  return { program, dtypes: chosen.length === 0 ? OTHERS[program] : chosen, path };
}
