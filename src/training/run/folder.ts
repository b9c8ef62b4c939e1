import { isUnfinished } from "../../platform/paths.js";
import type { Platform } from "../../platform/types.js";
import { writeJson } from "../../platform/writeText.js";
import { readJson } from "../../util/bytes.js";
import { counted } from "../../util/counted.js";
import { check, TintypeError } from "../../util/errors.js";
import { oneLine } from "../../util/oneLine.js";
import { VERSION } from "../../util/version.js";
import { type ResolvedConfig, type RunConfig, resolveConfig } from "../config.js";
import { showValue } from "../schemaProblems.js";
import type { TaskKind } from "../task.js";
import { changesBetween, mayChange, showChange } from "./changes.js";
import { type Checkpoint, lastCheckpoint, pruneCheckpoints } from "./checkpoint.js";
import { CONFIG, LOCK } from "./layout.js";
import { removeUnfinished } from "./unfinished.js";

/** A run's folder, held against other processes until it is disposed. */
export interface RunFolder<C> extends ResolvedConfig<C>, AsyncDisposable {
  readonly path: string;
  /** Where the run goes on from; undefined at its beginning. */
  readonly checkpoint: Checkpoint | undefined;
  /** Of a new run that could not begin: leaves no trace of it. */
  discard(): Promise<void>;
}

interface Where {
  readonly platform: Platform;
  readonly path: string;
  readonly notice: (message: string) => void;
}

/**
 * Makes the folder of a new run. Throws "bad-argument" when something is in it already or another
 * process has it; then nothing was touched.
 */
export async function createRun<C extends RunConfig>(
  kind: TaskKind<C>,
  { config, json }: ResolvedConfig<C>,
  { platform, path }: Where,
): Promise<RunFolder<C>> {
  await requireEmpty(platform, path);
  const lock = await lockRun(platform, path);
  try {
    await requireEmpty(platform, path); // another may have been faster
    await removeUnfinished(platform.files, path);
    await writeConfig(platform, path, kind, json);
  } catch (error) {
    await release(lock);
    throw error;
  }
  const { files } = platform;
  let discarded = false;
  return {
    config,
    json,
    path,
    checkpoint: undefined,
    async discard() {
      await files.remove(`${path}/${CONFIG}`);
      discarded = true;
    },
    async [Symbol.asyncDispose]() {
      await release(lock);
      if (discarded && (await files.list(path)).length === 0) await files.removeFolder(path);
    },
  };
}

/**
 * Opens a run to go on with. `change` makes the wanted settings of those that the run has. Throws
 * "bad-argument" with what differs, unless that may; "not-found" when there is no run.
 */
export async function reopenRun<C extends RunConfig>(
  kind: TaskKind<C>,
  change: (config: unknown) => ResolvedConfig<C>,
  { platform, path, notice }: Where,
): Promise<RunFolder<C>> {
  await requireRun(platform, path);
  const lock = await lockRun(platform, path);
  try {
    await removeUnfinished(platform.files, path);
    const checkpoint = await lastCheckpoint(platform, path, notice);
    const written = await readConfig(platform, path, kind);
    const where = `${path}/${CONFIG}`;
    const before = resolveConfig(kind.schema, checkpoint?.info.config ?? written, where);
    const after = change(written);
    const { config } = after;
    checkSteps(path, config, checkpoint);
    checkChanges(path, before.json, after.json, notice);
    await writeConfig(platform, path, kind, after.json);
    if (checkpoint !== undefined) {
      const { step } = checkpoint.info;
      await pruneCheckpoints(platform.files, path, config.checkpoints.keep, step);
    }
    if (checkpoint !== undefined && checkpoint.info.tintype !== VERSION) {
      notice(
        oneLine(
          `${path} was trained by Tintype ${checkpoint.info.tintype} so far. This is ${VERSION}, ` +
            "which may round otherwise.",
        ),
      );
    }
    const close = (): Promise<void> => release(lock);
    return { ...after, path, checkpoint, discard: async () => {}, [Symbol.asyncDispose]: close };
  } catch (error) {
    await release(lock);
    throw error;
  }
}

/** The settings that a run has, as JSON without the kind. Throws "not-found" when there is no run. */
export async function readRunConfig(
  platform: Platform,
  path: string,
): Promise<{ readonly kind: unknown; readonly config: unknown }> {
  await requireRun(platform, path);
  const json = await readJson(await platform.openFile(`${path}/${CONFIG}`));
  const where = `${path}/${CONFIG}`;
  check(
    typeof json === "object" && json !== null && !Array.isArray(json),
    "bad-file",
    `${where}: expected an object { ... }, got ${showValue(json)}.`,
  );
  const { kind, ...config } = json as { readonly kind?: unknown };
  check(
    typeof kind === "string",
    "bad-file",
    `${where}: the key "kind" is missing, which says what is trained. Put it back.`,
  );
  return { kind, config };
}

async function readConfig<C extends RunConfig>(
  platform: Platform,
  path: string,
  { name }: TaskKind<C>,
): Promise<unknown> {
  const { kind, config } = await readRunConfig(platform, path);
  check(kind === name, "bad-argument", oneLine(`${path} is a run of ${kind}, not of ${name}.`));
  return config;
}

async function writeConfig<C extends RunConfig>(
  platform: Platform,
  path: string,
  { name }: TaskKind<C>,
  json: unknown,
): Promise<void> {
  await writeJson(platform.files, `${path}/${CONFIG}`, { kind: name, ...Object(json) });
}

async function requireEmpty({ files }: Platform, path: string): Promise<void> {
  const found = await files.stat(path);
  check(
    found?.kind !== "file",
    "bad-argument",
    `${path} is a file. Name a new folder for the run.`,
  );
  const names = (await files.list(path)).filter((name) => name !== LOCK && !isUnfinished(name));
  if (names.length === 0) return;
  const message = names.includes(CONFIG)
    ? `${path} holds a run already. Go on with --resume ${path}, or name another folder.`
    : `${path} is not empty (${names[0]}${names.length > 1 ? ", ..." : ""}). Name a new folder for the run.`;
  throw new TintypeError("bad-argument", oneLine(message));
}

async function requireRun({ files }: Platform, path: string): Promise<void> {
  if ((await files.stat(`${path}/${CONFIG}`))?.kind === "file") return;
  const there = (await files.stat(path)) !== undefined;
  throw new TintypeError(
    "not-found",
    there
      ? `${path} is no run: it has no ${CONFIG}. Name the folder of a run.`
      : `there is no run ${path}. Check the path.`,
  );
}

async function release(lock: AsyncDisposable): Promise<void> {
  await lock[Symbol.asyncDispose]();
}

/** Takes the lock, or throws at once. */
async function lockRun(platform: Platform, path: string): Promise<AsyncDisposable> {
  const giveUp = new AbortController();
  let held = false;
  try {
    return await platform.lock(`${path}/${LOCK}`, {
      signal: giveUp.signal,
      waiting: () => {
        held = true;
        giveUp.abort();
      },
    });
  } catch (error) {
    if (!held) throw error;
    throw new TintypeError(
      "bad-argument",
      `${path} is being trained by another process. Wait until it ends, or name another folder.`,
    );
  }
}

function checkChanges(
  path: string,
  before: unknown,
  after: unknown,
  notice: (message: string) => void,
): void {
  const changes = changesBetween(before, after);
  const refused = changes.filter((change) => !mayChange(change));
  check(
    refused.length === 0,
    "bad-argument",
    `${path} was begun with other settings, and would not go on as the same run. ` +
      `Changed: ${refused.map(showChange).join("; ")}. Put them back, or begin a new run.`,
  );
  for (const change of changes) notice(`changed ${showChange(change)}`);
}

function checkSteps(path: string, { steps }: RunConfig, checkpoint: Checkpoint | undefined): void {
  const step = checkpoint?.info.step ?? 0;
  check(
    steps >= step,
    "bad-argument",
    `steps: ${path} has taken ${counted(step, "step")} already, more than ${steps}.`,
  );
}
