/** Milliseconds -> "0.8 s", "45 s", "3:07 min", "2:05 h". */
export function formatDuration(milliseconds: number): string {
  const seconds = milliseconds / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 90) return `${whole} s`;
  const minutes = whole < 3600 ? Math.floor(whole / 60) : Math.floor(Math.round(seconds / 60) / 60);
  const rest = whole < 3600 ? whole % 60 : Math.round(seconds / 60) % 60;
  return `${minutes}:${String(rest).padStart(2, "0")} ${whole < 3600 ? "min" : "h"}`;
}

/** Milliseconds a step -> "1.52 s/it". */
export function formatPace(milliseconds: number): string {
  const seconds = milliseconds / 1000;
  const digits = seconds >= 100 ? 0 : seconds >= 10 ? 1 : seconds >= 1 ? 2 : 3;
  return `${seconds.toFixed(digits)} s/it`;
}

/** 859520964 -> "859.5 million". */
export function formatCount(count: number): string {
  if (count < 1e4) return String(count);
  if (count < 1e6) return `${(count / 1e3).toFixed(1)} thousand`;
  return count < 1e9
    ? `${(count / 1e6).toFixed(1)} million`
    : `${(count / 1e9).toFixed(2)} billion`;
}

/** Beyond 2^53 as text: most readers of JSON would round the number. */
export const jsonSeed = (seed: bigint): number | string =>
  seed <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(seed) : String(seed);

/** Rows as text: columns are as wide as their widest cell, two spaces between them. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, c) => {
      widths[c] = Math.max(widths[c] ?? 0, cell.length);
    });
  }
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, c) => cell.padEnd(widths[c]!))
          .join("  ")
          .trimEnd()}\n`,
    )
    .join("");
}

/** Their keys come from files, and are written as they are. */
const FROM_FILES: ReadonlySet<string> = new Set(["metadata", "text", "settings", "dtypes"]);

/** Plain data with its keys in snake_case, as all of the JSON that commands print. */
export function snakeCase(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(snakeCase);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      FROM_FILES.has(key) ? inner : snakeCase(inner),
    ]),
  );
}
