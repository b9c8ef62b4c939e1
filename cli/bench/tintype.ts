import { TintypeError } from "../../src/util/errors.js";
import { VERSION } from "../../src/util/version.js";
import { askedContestant, failure, type Picture } from "./askedContestant.js";
import { type Contestant, PROMPT, SAMPLER, type VisitRequest } from "./contestant.js";
import { type Command, nodeCommand, startProcess } from "./process.js";
import type { WorkerSettings } from "./protocol.js";

/** This program, computing in `settings.dtype`. */
export function tintypeContestant(settings: WorkerSettings): Contestant {
  const name = `tintype ${settings.dtype}`;
  const worker = tintypeWorker();
  const contestant = askedContestant({
    name,
    program: "tintype",
    dtype: settings.dtype,
    settings,
    worker,
    withCache: (folder) => ({ ...worker, env: { TINTYPE_CACHE: folder } }),
    picture: (request, output) => generate(name, settings, request, output),
  });
  return {
    ...contestant,
    async prepare(request) {
      const { about } = await contestant.prepare(request);
      return { about: `tintype ${VERSION}, ${about}` };
    },
  };
}

/** How Tintype is started so that it answers requests. */
export function tintypeWorker(): Command {
  return nodeCommand(new URL("./worker.js", import.meta.url));
}

/** `tintype generate`, as people start it. */
async function generate(
  name: string,
  { model, dtype, device, threads }: WorkerSettings,
  { side, steps, signal }: VisitRequest,
  output: string,
): Promise<Picture> {
  const size = ["--width", `${side}`, "--height", `${side}`, "--steps", `${steps}`, "--seed", "0"];
  const where = ["--model", model, "--dtype", dtype, "--device", device];
  const more = threads === undefined ? [] : ["--threads", `${threads}`];
  const how = ["--sampler", SAMPLER, "--output", output, "--json"];
  const args = ["generate", PROMPT, ...where, ...size, ...more, ...how];
  const { ended } = startProcess(nodeCommand(new URL("../main.js", import.meta.url), args), signal);
  const { code, output: said, milliseconds, peakBytes } = await ended;
  if (code !== 0) throw await failure(name, ended, signal);
  return { seconds: milliseconds / 1000, peakBytes: peakBytes ?? reportedPeak(said) };
}

/** The peak memory in the JSON that generate prints. */
function reportedPeak(output: string): number {
  const value = /"peak_rss_bytes":(\d+)/.exec(output)?.[1];
  if (value !== undefined) return Number(value);
  throw new TintypeError("device", "tintype generate --json does not tell its peak memory.");
}
