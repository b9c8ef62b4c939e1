import { join, resolve } from "node:path";
import { resolveSampler } from "../../src/diffusion/index.js";
import type { Evaluation, EvaluationProgress } from "../../src/evaluation/evaluate.js";
import { evaluateModel } from "../../src/evaluation/node.js";
import {
  accuracyRows,
  evaluationJson,
  htmlReport,
  measureRows,
  type ReportOptions,
} from "../../src/evaluation/report.js";
import { defaultModel, loadModel, nodePlatform, PART_TITLES, savePicture } from "../../src/node.js";
import type { Platform } from "../../src/platform/types.js";
import { writeJson, writeText } from "../../src/platform/writeText.js";
import { check } from "../../src/util/errors.js";
import { calibrationTitle } from "../calibrate/title.js";
import { table } from "../format.js";
import { type Progress, progressOn } from "../progress.js";
import type { Terminal } from "../terminal.js";
import type { EvaluateOptions } from "./options.js";

const RESULTS = "results.json";
const REPORT = "report.html";

/** What was measured, and how it ran. */
type Measured = Omit<ReportOptions, "pictures">;

/** Runs `tintype evaluate`. */
export async function runEvaluation(options: EvaluateOptions, terminal: Terminal): Promise<void> {
  const platform = nodePlatform();
  const out = resolve(options.out);
  if (options.sampler !== undefined) resolveSampler(options.sampler);
  await requireFree(platform, out, options.out);
  const live = terminal.live && options.json !== true;
  using progress = progressOn(terminal, { live });
  const { evaluation, ran } = await measure(options, platform, progress, live, terminal);
  const of: Measured = { model: options.model ?? defaultModel(), ran };
  progress.busy("writing the report");
  await writeReport(evaluation, of, out, platform);
  progress.idle();
  if (options.json === true) {
    terminal.out(`${JSON.stringify(evaluationJson(evaluation, of), null, 2)}\n`);
    return;
  }
  terminal.out(`${table([["", "right", "judge"], ...accuracyRows(evaluation)])}\n`);
  terminal.out(`${table(measureRows(evaluation, ran))}\n${join(options.out, REPORT)}\n`);
}

/** Throws unless the folder is new, empty or an older report. */
async function requireFree(platform: Platform, out: string, name: string): Promise<void> {
  const inside = await platform.files.list(out);
  check(
    inside.length === 0 || inside.includes(RESULTS),
    "bad-argument",
    `--out: ${name} holds something else than an older report. Name another folder.`,
  );
}

async function measure(
  options: EvaluateOptions,
  platform: Platform,
  progress: Progress,
  live: boolean,
  { signal }: Terminal,
): Promise<{ readonly evaluation: Evaluation; readonly ran: Measured["ran"] }> {
  const { threads, device, dtype } = options;
  let ran: Measured["ran"] = { device: "", dtype: "" };
  await using model = await loadModel(options.model, {
    platform,
    signal,
    device,
    dtype,
    threads,
    onDownload: progress.download,
    onNotice: (message) => progress.notice(`tintype: ${message}`),
    onDevice: ({ device: { name } }, dtype) => {
      ran = { device: name, dtype };
    },
    onCalibration: (at) => progress.busy(calibrationTitle(at, live)),
    onLoad: (part) => progress.busy(`loading the ${PART_TITLES[part]}`),
  });
  const { prompts, seed, steps, guidanceScale, sampler, batchSize, judge } = options;
  const running = evaluateModel(model, {
    ...{ prompts, seed, steps, guidanceScale, sampler, batchSize, signal },
    ...{ judge, threads, platform },
  });
  for (;;) {
    const { done, value } = await running.next();
    if (done) return { evaluation: value, ran };
    progress.busy(live ? `${TITLES[value.stage]}, ${whole(value)}` : TITLES[value.stage]);
  }
}

const TITLES: Readonly<Record<EvaluationProgress["stage"], string>> = {
  generate: "making pictures",
  judge: "asking the judge about fresh pictures",
  autoencoder: "measuring the autoencoder",
};

const whole = ({ done, total }: EvaluationProgress): string => `${Math.floor(done)} of ${total}`;

async function writeReport(
  evaluation: Evaluation,
  of: Measured,
  out: string,
  platform: Platform,
): Promise<void> {
  const { files } = platform;
  const file = (kind: string, k: number): string =>
    `pictures/${String(k).padStart(4, "0")}-${kind}.png`;
  await files.removeFolder(join(out, "pictures"));
  await files.makeFolder(join(out, "pictures"));
  for (const [k, { picture, painted, prompt, seed }] of evaluation.pictures.entries()) {
    await savePicture(
      join(out, file("made", k)),
      picture,
      { prompt, seed: `${seed}` },
      { platform },
    );
    await savePicture(join(out, file("painted", k)), painted, {}, { platform });
  }
  const pictures = (k: number) => ({ made: file("made", k), painted: file("painted", k) });
  await writeText(files, join(out, REPORT), htmlReport(evaluation, { ...of, pictures }));
  await writeJson(files, join(out, RESULTS), evaluationJson(evaluation, of));
}
