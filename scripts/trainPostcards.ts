/**
 * Trains the model that comes with Tintype, and the judge that measures it, from nothing: stage after
 * stage, each in its folder below runs/postcards, each going on where it was stopped. Finished
 * stages are left as they are; delete a stage's folder to train it anew.
 *
 *     npm run train:postcards                  all stages, then models/postcards
 *     npm run train:postcards -- --only clip   one stage
 *
 * recipes/postcards/README.md says what each stage does, and the hours it takes.
 */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

const root = resolve(import.meta.dirname, "..");
const RUNS = "runs/postcards";

interface Stage {
  readonly name: string;
  /** The command that trains it, new or resumed. */
  readonly command: (run: string, resume: boolean) => readonly string[];
}

const trained = (name: string, kind: string): Stage => ({
  name,
  command: (run, resume) => [
    ...["cli/main.ts", "train", kind],
    ...(resume ? ["--resume", run] : ["--config", `recipes/postcards/${name}.json`, "--out", run]),
  ],
});

const STAGES: readonly Stage[] = [
  trained("autoencoder", "autoencoder"),
  trained("refine", "autoencoder"),
  trained("clip", "clip"),
  trained("diffusion", "diffusion"),
  trained("compose", "diffusion"),
  { name: "judge", command: (run) => ["scripts/trainJudge.ts", run] },
];

function run(stage: Stage): void {
  const folder = `${RUNS}/${stage.name}`;
  if (existsSync(join(root, folder, "model"))) {
    console.log(`${stage.name}: done`);
    return;
  }
  console.log(`${stage.name}: in ${folder}`);
  const resume = existsSync(join(root, folder, "config.json"));
  const { status } = spawnSync("npx", ["tsx", ...stage.command(folder, resume)], {
    cwd: root,
    stdio: "inherit",
  });
  if (status !== 0) process.exit(status ?? 1);
}

/** Puts what was trained where `generate` and `evaluate` find it. The texts beside it are ours to write. */
function ship(): void {
  const from = (stage: string, path = ""): string => join(root, RUNS, stage, "model", path);
  const to = (path: string): string => join(root, "models", path);
  for (const part of [
    "unet",
    "vae",
    "text_encoder",
    "tokenizer",
    "scheduler",
    "model_index.json",
  ]) {
    rmSync(to(`postcards/${part}`), { recursive: true, force: true });
    cpSync(from("compose", part), to(`postcards/${part}`), { recursive: true });
  }
  cpSync(from("judge"), to("postcards-judge"), { recursive: true });
  console.log("models/postcards: done. Measure it: npx tintype evaluate");
}

const { values } = parseArgs({ options: { only: { type: "string" } } });
const names = STAGES.map(({ name }) => name);
if (values.only !== undefined && !names.includes(values.only)) {
  throw new Error(`--only: expected one of ${names.join(", ")}, got "${values.only}"`);
}
for (const stage of STAGES) if ((values.only ?? stage.name) === stage.name) run(stage);
if (values.only === undefined) ship();
