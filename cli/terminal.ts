/** Where a command writes, and how it is told to stop. */
export interface Terminal {
  /** Standard output: results. */
  readonly out: (text: string) => void;
  /** Standard error: progress, warnings, errors. */
  readonly err: (text: string) => void;
  /** Whether standard error is a screen on which a line can be drawn anew. */
  readonly live: boolean;
  /** Whether standard error shows more than ASCII. */
  readonly unicode: boolean;
  /** Characters in a line of the screen. */
  readonly columns: () => number;
  /** Milliseconds since the process began. */
  readonly now: () => number;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
  /** Whether errors come with their stack traces. */
  readonly debug: boolean;
}

/** The terminal of this process. */
export function processTerminal(signal: AbortSignal): Terminal {
  const { stdout, stderr, env } = process;
  // A reader that went away (`| head`) is no error.
  stdout.on("error", quietly);
  stderr.on("error", quietly);
  const locale = env.LC_ALL ?? env.LC_CTYPE ?? env.LANG ?? "";
  return {
    out: (text) => void stdout.write(text),
    err: (text) => void stderr.write(text),
    live: stderr.isTTY === true && env.TERM !== "dumb",
    unicode: process.platform === "win32" || /utf-?8/i.test(locale),
    columns: () => stderr.columns ?? 80,
    now: () => performance.now(),
    signal,
    debug: !["", "0", undefined].includes(env.TINTYPE_DEBUG),
  };
}

function quietly(error: NodeJS.ErrnoException): void {
  if (error.code !== "EPIPE") throw error;
}
