import type { Files } from "../../platform/types.js";
import type { Task } from "../task.js";
import { MODEL } from "./layout.js";
import { replaceFolder } from "./replaceFolder.js";

/** Writes the model of a run, beside the old one, which then makes way; returns its folder. */
export function exportModel(task: Task, run: string, files: Files): Promise<string> {
  return replaceFolder(files, run, MODEL, (folder) => task.export(folder));
}
