/** What kind of thing went wrong; apps map it to exit codes and HTTP statuses. */
export type ErrorCode =
  | "bad-argument" // a value the caller chose: a name, a size, a range
  | "bad-file" // bytes that are not what they claim to be
  | "not-found" // a file, a folder, a tensor or a model that is not there
  | "mismatch" // a checkpoint whose tensors do not fit the model
  | "unsupported" // something real that Tintype does not do
  | "device" // no such device here, or the engine refused
  | "out-of-memory" // predicted or met
  | "network" // a hub that cannot be reached, refuses, or sends something else
  | "diverged" // a training whose loss is no number, or explodes
  | "io" // a disk that is full, a path that cannot be written
  | "aborted"; // stopped by the caller

/** What may be said of an error besides its message. */
export interface ErrorDetails {
  readonly cause?: unknown;
  /** What to do in a sentence, where it depends on who is asked: an option of a command. */
  readonly advice?: string;
}

/**
 * An error that a user can act on: who, what was expected, what was got, and what to do.
 * The message is one or two plain sentences; anything else that is thrown is a bug in Tintype.
 */
export class TintypeError extends Error {
  readonly code: ErrorCode;
  /** The message without `advice`, for who knows better what to do. */
  readonly problem: string;
  /** The end of the message, where it may be replaced. */
  readonly advice: string | undefined;

  constructor(code: ErrorCode, problem: string, details: ErrorDetails = {}) {
    super(details.advice === undefined ? problem : `${problem} ${details.advice}`, details);
    this.name = "TintypeError";
    this.code = code;
    this.problem = problem;
    this.advice = details.advice;
  }
}

/** Throws a `TintypeError` unless `condition` holds. */
export function check(condition: unknown, code: ErrorCode, message: string): asserts condition {
  if (!condition) throw new TintypeError(code, message);
}

/**
 * Throws a plain Error for a broken invariant: a bug in Tintype, never the user's fault. Where it is
 * checked often, a message that takes long to write is a function.
 */
export function invariant(condition: unknown, message: string | (() => string)): asserts condition {
  if (condition) return;
  throw new Error(`internal: ${typeof message === "string" ? message : message()}`);
}

/** Throws an "aborted" error once `signal` is aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new TintypeError("aborted", "stopped", { cause: signal.reason });
}
