import { existsSync, readdirSync, readFileSync } from "node:fs";

/** Everything that a run of a fit has computed; times are left out. */
export function outcome(run: string): unknown {
  const bytes = (file: string): string => readFileSync(`${run}/${file}`).toString("base64");
  const names = (folder: string): string[] =>
    existsSync(`${run}/${folder}`) ? readdirSync(`${run}/${folder}`).sort() : [];
  const all = readdirSync(run, { recursive: true, encoding: "utf8" });
  return {
    lines: metricsOf(run).map(({ seconds, samplesPerSecond, time, ...rest }) => rest),
    checkpoints: names("checkpoints").map((name) => [
      name,
      ...["params", "momentum"].map((part) => bytes(`checkpoints/${name}/${part}.safetensors`)),
    ]),
    samples: names("samples").map((name) => [name, bytes(`samples/${name}`)]),
    plots: names("plots").map((name) => [name, bytes(`plots/${name}`)]),
    model: names("model").map((name) => [name, bytes(`model/${name}`)]),
    hidden: all.filter((name) => /(^|\/)\./.test(name)),
  };
}

/** The lines of a run's metrics.jsonl. */
export function metricsOf(run: string): readonly Record<string, unknown>[] {
  const text = readFileSync(`${run}/metrics.jsonl`, "utf8");
  return text
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** Paths of all files of a run. */
export function filesOf(run: string): string[] {
  const all = readdirSync(run, { recursive: true, withFileTypes: true });
  return all
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => `${parentPath}/${name}`.slice(run.length + 1));
}
