import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Samples } from "../../src/benchmark/results.js";
import { parseSdcpp, sdcppError } from "../../src/benchmark/sdcpp.js";
import { check, TintypeError, throwIfAborted } from "../../src/util/errors.js";
import { type Contestant, PROMPT, SAMPLER, type VisitRequest } from "./contestant.js";
import { type Ended, endOf, startProcess } from "./process.js";
import type { WorkerSettings } from "./protocol.js";

/** Steps of a picture that is made for its steps alone: weights are loaded in the first. */
const FEW_STEPS = 3;

/**
 * stable-diffusion.cpp's command line program; `settings.dtype` is what it calls --type,
 * `settings.model` a diffusers folder or a file that it reads.
 */
export function sdcppContestant(binary: string, settings: WorkerSettings): Contestant {
  const name = `sdcpp ${settings.dtype}`;
  return {
    name,
    program: "sdcpp",
    dtype: settings.dtype,
    async prepare({ signal, onPart }) {
      onPart("preparing");
      const ended = await startProcess({ file: binary, args: ["--version"] }, signal).ended;
      throwIfAborted(signal);
      const about = ended.output.trim().split("\n")[0] ?? "";
      return { about: ended.code === 0 && about !== "" ? about : "stable-diffusion.cpp" };
    },
    async visit(request) {
      const { parts, steps, batch, signal, scratch, onPart } = request;
      check(batch === 1, "unsupported", `${name} makes one picture at a time.`);
      onPart("a whole picture");
      const folder = await mkdtemp(join(scratch, "picture-"));
      try {
        const count = parts.has("picture") ? steps : FEW_STEPS;
        const output = join(folder, "picture.png");
        const args = sdcppArguments(settings, request.side, count, output);
        const ended = await startProcess({ file: binary, args }, signal).ended;
        throwIfAborted(signal);
        if (ended.code !== 0) throw refused(name, ended);
        return samplesOf(request, ended);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
  };
}

function refused(name: string, ended: Ended): TintypeError {
  const why = sdcppError(ended.output) ?? endOf(ended);
  return new TintypeError("device", `${name}: ${why.replace(/\.?$/, ".")}`);
}

function sdcppArguments(
  { model, dtype, threads }: WorkerSettings,
  side: number,
  steps: number,
  output: string,
): string[] {
  const what = [
    "-M",
    "img_gen",
    "-m",
    model,
    "--type",
    dtype,
    "-p",
    PROMPT,
    "-n",
    "",
    "-o",
    output,
  ];
  const how = [
    "--cfg-scale",
    "7.5",
    "--sampling-method",
    SAMPLER,
    "--steps",
    `${steps}`,
    "-s",
    "0",
  ];
  const more = threads === undefined ? [] : ["-t", `${threads}`];
  return [...what, ...how, "-W", `${side}`, "-H", `${side}`, ...more, "-v"];
}

/** All of a visit comes from one picture. */
function samplesOf({ parts }: VisitRequest, { output, milliseconds, peakBytes }: Ended): Samples {
  const { load, text, steps, decode } = parseSdcpp(output);
  const all: Samples = {
    load: [load],
    cold: [load], // it keeps no cache
    ...(text === undefined ? {} : { text: [text] }),
    step: steps,
    ...(decode === undefined ? {} : { decode: [decode] }),
    picture: [milliseconds / 1000],
  };
  const asked = Object.entries(all).filter(([part]) => parts.has(part as "load"));
  // It always makes a whole picture, which others are not measured by unless that is asked for.
  const isWhole = peakBytes !== undefined && parts.has("picture");
  const memory = isWhole ? { memory: [peakBytes] } : {};
  return { ...Object.fromEntries(asked), ...memory };
}
