import { type ErrorCode, TintypeError } from "../../util/errors.js";
import type { RunConfig } from "../config.js";

/**
 * An error for want of memory, with advice that a training can follow: the engine's is for whoever
 * makes pictures. Any other error is handed back.
 */
export function withMemoryAdvice(error: unknown, config: RunConfig): unknown {
  if (!(error instanceof TintypeError) || error.advice === undefined) return error;
  const { code, problem } = error;
  const help = `close other programs, or set ${changesOf(config).join(", or ")}.`;
  const advice: Partial<Record<ErrorCode, string>> = {
    "out-of-memory": `C${help.slice(1)}`,
    device: `If memory ran out, ${help}`, // a worker that dies does not say of what
  };
  const own = advice[code];
  return own === undefined ? error : new TintypeError(code, problem, { cause: error, advice: own });
}

/** Settings that may help, of those that this kind of training has. */
function changesOf(config: RunConfig & { readonly recompute?: unknown }): string[] {
  const { recompute = true } = config;
  return [
    ...(recompute === true ? [] : ['"recompute" true (a resumed run may, too)']),
    `a smaller "batchSize"${"accumulate" in config ? ' (and a larger "accumulate")' : ""}`,
  ];
}
