import type { Files } from "../../platform/types.js";
import type { Task } from "../task.js";
import { MODEL } from "./layout.js";

/** Writes the model of a run, beside the old one, which then makes way; returns its folder. */
export async function exportModel(task: Task, run: string, files: Files): Promise<string> {
  const [path, fresh, old] = [MODEL, `.${MODEL}.new`, `.${MODEL}.old`].map((n) => `${run}/${n}`);
  await files.removeFolder(fresh!);
  try {
    await files.makeFolder(fresh!);
    await task.export(fresh!);
    await files.removeFolder(old!);
    if ((await files.stat(path!)) !== undefined) await files.rename(path!, old!);
    await files.rename(fresh!, path!);
    await files.removeFolder(old!);
  } catch (error) {
    await files.removeFolder(fresh!).catch(() => {});
    throw error;
  }
  return path!;
}
