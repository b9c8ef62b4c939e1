import { encodeSafetensors, readSafetensors } from "../../formats/index.js";
import type { Files, Platform } from "../../platform/types.js";
import { writeJson } from "../../platform/writeText.js";
import { readTensor } from "../../tensor/convert.js";
import type { Tensor } from "../../tensor/tensor.js";
import { readJson } from "../../util/bytes.js";
import { check, TintypeError } from "../../util/errors.js";
import { oneLine } from "../../util/oneLine.js";
import { VERSION } from "../../util/version.js";
import { readPart, type TaskState } from "../task.js";
import { CHECKPOINTS, stepName, stepOf } from "./layout.js";
import { removeWholeFolder, replaceFolder } from "./replaceFolder.js";

/** What `state.json` of a checkpoint says. */
export interface CheckpointInfo {
  /** Of the layout of checkpoints. */
  readonly format: 1;
  /** The version of Tintype that wrote it. */
  readonly tintype: string;
  readonly kind: string;
  /** Optimizer steps that were taken. */
  readonly step: number;
  /** All settings of the run at that time. */
  readonly config: unknown;
  /** Digest of the files and captions that were learned from, where there were any. */
  readonly data?: string | undefined;
  /** Bytes of each file of tensors. */
  readonly files: Readonly<Record<string, number>>;
}

/** A checkpoint that is whole. */
export interface Checkpoint {
  readonly path: string;
  readonly info: CheckpointInfo;
}

const INFO = "state.json";

/**
 * Writes a checkpoint: into a folder beside it, each file flushed, then renamed. An error or a
 * full disk leaves no trace of it, and what was there before. Returns its path.
 */
export async function writeCheckpoint(
  files: Files,
  run: string,
  info: Pick<CheckpointInfo, "kind" | "step" | "config" | "data">,
  state: TaskState,
): Promise<string> {
  const folder = `${run}/${CHECKPOINTS}`;
  await files.makeFolder(folder);
  return replaceFolder(files, folder, stepName(info.step), async (fresh) => {
    const sizes: Record<string, number> = {};
    for (const [name, part] of Object.entries(state)) {
      const file = `${name}.safetensors`;
      const tensors = await readPart(part);
      await requireFinite(tensors, info.step);
      sizes[file] = await writeTensors(files, `${fresh}/${file}`, tensors);
    }
    const all: CheckpointInfo = { format: 1, tintype: VERSION, ...info, files: sizes };
    await writeJson(files, `${fresh}/${INFO}`, all);
  });
}

/** Numbers that are looked at before others get their turn. */
const TURN = 1 << 22;

/** A checkpoint that holds a NaN would be no good one. */
async function requireFinite(tensors: ReadonlyMap<string, Tensor>, step: number): Promise<void> {
  for (const [name, { data }] of tensors) {
    for (let from = 0; from < data.length; from += TURN) {
      const to = Math.min(data.length, from + TURN);
      let zero = 0;
      for (let i = from; i < to; i++) zero += data[i]! * 0; // NaN where one is not finite
      check(zero === 0, "diverged", `after step ${step}, ${name} holds a NaN or an infinite value`);
      if (to < data.length) await new Promise((resolve) => setTimeout(resolve));
    }
  }
}

/** Writes tensors as float32; returns the file's size. */
async function writeTensors(
  files: Files,
  path: string,
  tensors: ReadonlyMap<string, Tensor>,
): Promise<number> {
  const rows = [...tensors].map(([name, { shape, data }]) => {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return [name, { dtype: "f32", shape, bytes }] as const;
  });
  const chunks = await encodeSafetensors(new Map(rows), undefined);
  await files.writeAtomically(path, chunks);
  return chunks.reduce((sum, { length }) => sum + length, 0);
}

/** Steps of the checkpoints that are there, rising. */
export async function checkpointSteps(files: Files, run: string): Promise<number[]> {
  const names = await files.list(`${run}/${CHECKPOINTS}`);
  const steps = names.map(stepOf).filter((step) => step !== undefined);
  return steps.sort((a, b) => a - b);
}

/**
 * The last checkpoint that is whole, or undefined where there is none at all. `notice` is told of
 * those that are not; throws "bad-file" when none is.
 */
export async function lastCheckpoint(
  platform: Platform,
  run: string,
  notice: (message: string) => void,
): Promise<Checkpoint | undefined> {
  const steps = await checkpointSteps(platform.files, run);
  for (const step of steps.reverse()) {
    const path = `${run}/${CHECKPOINTS}/${stepName(step)}`;
    try {
      return { path, info: await readInfo(platform, path) };
    } catch (error) {
      if (!(error instanceof TintypeError)) throw error;
      notice(oneLine(`${path} is damaged and is left out (${error.message})`));
    }
  }
  check(
    steps.length === 0,
    "bad-file",
    `${run}: no checkpoint is whole. Begin a new run, or remove ${run}/${CHECKPOINTS} to begin this one again.`,
  );
  return undefined;
}

async function readInfo(platform: Platform, path: string): Promise<CheckpointInfo> {
  const info = (await readJson(await platform.openFile(`${path}/${INFO}`))) as CheckpointInfo;
  check(
    info?.format === 1 && stepName(info.step) === path.split("/").at(-1),
    "bad-file",
    `${path}/${INFO}: expected the state of a checkpoint, format 1, got format ${info?.format}.`,
  );
  check(
    typeof info.files === "object" && info.files !== null && Object.keys(info.files).length > 0,
    "bad-file",
    `${path}/${INFO}: expected the names and bytes of its files in "files".`,
  );
  for (const [file, bytes] of Object.entries(info.files)) {
    const size = (await platform.files.stat(`${path}/${file}`))?.size;
    check(
      size === bytes,
      "bad-file",
      `${path}/${file}: expected ${bytes} bytes, got ${size ?? "no file"}.`,
    );
  }
  return info;
}

/** The tensors of a checkpoint, each file read when it is asked for. */
export function checkpointState(platform: Platform, { path, info }: Checkpoint): TaskState {
  const read = (file: string) => async () => {
    try {
      const { tensors } = await readSafetensors(await platform.openFile(`${path}/${file}`));
      const values = new Map<string, Tensor>();
      for (const [name, stored] of tensors) values.set(name, await readTensor(stored));
      return values;
    } catch (cause) {
      if (!(cause instanceof TintypeError)) throw cause;
      const message = `${path} is damaged: ${file} cannot be read. Remove ${path} to go on from the checkpoint before it.`;
      throw new TintypeError(cause.code, oneLine(message), { cause });
    }
  };
  const files = Object.keys(info.files);
  return Object.fromEntries(files.map((file) => [file.replace(/\.safetensors$/, ""), read(file)]));
}

/** Removes all checkpoints but the last `keep`; the last of all, of step `last`, is known to be whole. */
export async function pruneCheckpoints(
  files: Files,
  run: string,
  keep: number,
  last: number,
): Promise<void> {
  const steps = (await checkpointSteps(files, run)).filter((step) => step <= last);
  for (const step of steps.slice(0, -keep)) {
    await removeWholeFolder(files, `${run}/${CHECKPOINTS}`, stepName(step));
  }
}
