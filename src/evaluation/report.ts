import { counted } from "../util/counted.js";
import { type Accuracy, ATTRIBUTES, type Attribute } from "./checks.js";
import type { EvaluatedPicture, Evaluation } from "./evaluate.js";

/** Where a model computed, and in what numbers. */
export interface RanOn {
  readonly device: string;
  readonly dtype: string;
}

/** What a report says besides what was measured. */
export interface ReportOptions {
  /** What was measured. */
  readonly model: string;
  readonly ran: RanOn;
  /** Where the pictures of a prompt are, relative to the report. */
  readonly pictures: (k: number) => { readonly made: string; readonly painted: string };
}

/** Rows of the table of accuracies: attribute, the model's share, the judge's own. */
export function accuracyRows({
  accuracy,
  judge,
}: Pick<Evaluation, "accuracy" | "judge">): (readonly [string, string, string])[] {
  const rows: readonly (Attribute | "all")[] = [...ATTRIBUTES, "all"];
  return rows
    .filter((key) => accuracy[key] !== undefined)
    .map((key) => [key, percent(accuracy[key]), percent(judge[key])]);
}

/** 0.9512 -> "95.1 %". */
export function percent(share: number | undefined): string {
  return share === undefined ? "" : `${(100 * share).toFixed(1)} %`;
}

/** Rows of the other numbers: name, value. */
export function measureRows(evaluation: Evaluation, ran: RanOn): (readonly [string, string])[] {
  const { frechet, psnr, ssim, secondsPerPicture, settings, pictures } = evaluation;
  return [
    ["Frechet distance", frechet.toPrecision(3)],
    ["autoencoder PSNR", `${psnr.toFixed(1)} dB`],
    ["autoencoder SSIM", ssim.toFixed(3)],
    ["prompts", `${pictures.length}, seeds from ${settings.seed}`],
    [
      "sampler",
      `${settings.sampler}, ${counted(settings.steps, "step")}, guidance ${settings.guidanceScale}`,
    ],
    ["computed in", `${ran.dtype} on ${ran.device}`],
    ["time a picture", `${secondsPerPicture.toFixed(2)} s`],
  ];
}

/** The report as one HTML page beside its pictures. */
export function htmlReport(evaluation: Evaluation, options: ReportOptions): string {
  const { pictures } = evaluation;
  const right = pictures.filter(({ checks }) => checks.every((check) => check.right)).length;
  const figures = pictures.map((picture, k) => figure(picture, options.pictures(k)));
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escaped(options.model)}: evaluation</title>
<style>${STYLE}</style>
<h1>${escaped(options.model.split(/[\\/]/).at(-1)!)}</h1>
<p>Prompts with combinations that no training scene has, a picture for each, and what a judge sees
in it. The judge is a classifier that was trained on painted pictures alone; its own column says how
often it is right about fresh ones.</p>
<table><tr><th>attribute<th>right<th>judge${accuracyRows(evaluation).map(row).join("")}</table>
<table>${measureRows(evaluation, options.ran).map(row).join("")}</table>
<h2>${right} of ${pictures.length} with everything right</h2>
<p>Left what was made, right what the painter makes of such a scene.</p>
<main>
${figures.join("\n")}
</main>
</html>
`;
}

const row = (cells: readonly string[]): string =>
  `<tr>${cells.map((cell) => `<td>${escaped(cell)}`).join("")}`;

function figure(
  { prompt, checks, seed }: EvaluatedPicture,
  { made, painted }: { readonly made: string; readonly painted: string },
): string {
  const wrong = checks.filter((check) => !check.right);
  const list = wrong.map(
    ({ attribute, said, seen }) =>
      `<li><b>${attribute}</b> said ${escaped(said)}, seen ${escaped(seen)}`,
  );
  return `<figure class="${wrong.length === 0 ? "right" : "wrong"}">
<img src="${escaped(made)}" alt="made, seed ${seed}"><img src="${escaped(painted)}" alt="painted">
<figcaption>${escaped(prompt)}${list.length === 0 ? "" : `<ul>${list.join("")}</ul>`}</figcaption>
</figure>`;
}

function escaped(text: string): string {
  const entities: Readonly<Record<string, string>> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
  };
  return text.replace(/[&<>"]/g, (c) => entities[c]!);
}

/** The JSON of an evaluation: shares in [0,1]. */
export function evaluationJson(
  evaluation: Evaluation,
  { model, ran }: Pick<ReportOptions, "model" | "ran">,
): Record<string, unknown> {
  const { accuracy, judge, frechet, psnr, ssim, settings, secondsPerPicture } = evaluation;
  const seed = Number.isSafeInteger(Number(settings.seed))
    ? Number(settings.seed)
    : `${settings.seed}`;
  return {
    prompts: evaluation.pictures.length,
    accuracy: ordered(accuracy),
    judge: ordered(judge),
    frechet,
    psnr,
    ssim,
    model,
    seed,
    steps: settings.steps,
    guidance_scale: settings.guidanceScale,
    sampler: settings.sampler,
    ...{ device: ran.device, dtype: ran.dtype },
    seconds_per_picture: secondsPerPicture,
  };
}

const ordered = (accuracy: Accuracy): Record<string, number> =>
  Object.fromEntries(
    [...ATTRIBUTES, "all" as const].flatMap((key) => {
      const share = accuracy[key];
      return share === undefined ? [] : [[key, share]];
    }),
  );

const STYLE = `
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 76em; padding: 0 1em; color: #222; }
table { display: inline-table; vertical-align: top; margin: 0 3em 1em 0; border-collapse: collapse; }
td, th { padding: .15em .8em .15em 0; text-align: left; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(272px, 1fr)); gap: 1em; }
figure { margin: 0; padding: 8px; border-radius: 6px; background: #f4f4f4; border-left: 4px solid #4a4; }
figure.wrong { border-color: #d44; }
img { width: 50%; image-rendering: auto; }
figcaption { font-size: 13px; }
ul { margin: .3em 0 0; padding-left: 1.2em; color: #a22; }
`;
