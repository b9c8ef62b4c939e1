import { type TintypeError, throwIfAborted } from "../util/errors.js";

/** A failure that may pass: what to tell the user if it does not, and when the server said so. */
export class Transient extends Error {
  readonly final: TintypeError;
  /** Milliseconds that the server asked to wait. */
  readonly retryAfter: number;

  constructor(final: TintypeError, retryAfter = 0) {
    super(final.message, { cause: final });
    this.final = final;
    this.retryAfter = retryAfter;
  }
}

/** How patiently to try again. */
export interface Patience {
  /** Failures in a row, without any gain between them, before giving up. Default 6. */
  readonly tries?: number | undefined;
  /** First wait in ms, doubled after each failure up to 30 s. Default 500. */
  readonly firstWait?: number | undefined;
  /** Silence in ms after which a connection counts as dead. Default 30,000. */
  readonly silence?: number | undefined;
}

const LONGEST_WAIT = 30_000;
const LONGEST_RETRY_AFTER = 300_000;

/**
 * Calls `act` until it does not throw Transient. `gain` counts what was achieved so far (bytes);
 * a failure after some gain starts the count of failures again, so a download that is cut often
 * still ends, and one that stands still gives up.
 */
export async function retry<T>(
  act: () => Promise<T>,
  patience: Patience,
  signal: AbortSignal | undefined,
  gain: () => number = () => 0,
): Promise<T> {
  const { tries = 6, firstWait = 500 } = patience;
  let failures = 0;
  for (let before = gain(); ; before = gain()) {
    throwIfAborted(signal);
    try {
      return await act();
    } catch (error) {
      throwIfAborted(signal);
      if (!(error instanceof Transient)) throw error;
      failures = gain() > before ? 1 : failures + 1;
      if (failures >= tries) throw error.final;
      // Half of it random, so that many clients do not come back at the same moment.
      const wait = Math.min(firstWait * 2 ** (failures - 1), LONGEST_WAIT);
      const jittered = wait * (0.5 + Math.random() / 2);
      await pause(Math.max(jittered, Math.min(error.retryAfter, LONGEST_RETRY_AFTER)), signal);
    }
  }
}

/** Waits, or until aborted. */
function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((done) => {
    const finish = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", finish);
      done();
    };
    const timer = setTimeout(finish, ms);
    signal?.addEventListener("abort", finish);
  });
}

/** The header's seconds or date, in ms from now; 0 without one. */
export function retryAfterOf(headers: Headers, now: number): number {
  const text = headers.get("retry-after");
  if (text === null) return 0;
  const seconds = Number(text);
  const ms = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(text) - now;
  return Number.isFinite(ms) ? Math.max(0, ms) : 0;
}
