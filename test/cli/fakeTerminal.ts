import type { Terminal } from "../../cli/terminal.js";

/** A terminal that keeps what is written to it. */
export interface FakeTerminal extends Terminal {
  readonly stdout: () => string;
  readonly stderr: () => string;
}

/** A terminal in memory; `settings` replace what it is by default: a pipe, 80 columns wide. */
export function fakeTerminal(settings: Partial<Terminal> = {}): FakeTerminal {
  const [out, err]: [string[], string[]] = [[], []];
  return {
    out: (text) => void out.push(text),
    err: (text) => void err.push(text),
    live: false,
    unicode: true,
    columns: () => 80,
    now: () => performance.now(),
    signal: new AbortController().signal,
    debug: false,
    ...settings,
    stdout: () => out.join(""),
    stderr: () => err.join(""),
  };
}
