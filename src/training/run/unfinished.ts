import { isUnfinished } from "../../platform/paths.js";
import type { Files } from "../../platform/types.js";
import { CHECKPOINTS, MODEL, PLOTS, SAMPLES } from "./layout.js";
import { settleFolder } from "./replaceFolder.js";

/** Names of checkpoints that were being written or removed; they count for nothing. */
const UNFINISHED = /^\.step-\d+\.(?:new|old)$/;

/** Removes what a process that was killed had not finished; a model that it had moved aside comes back. */
export async function removeUnfinished(files: Files, run: string): Promise<void> {
  await settleFolder(files, run, MODEL);
  const folder = `${run}/${CHECKPOINTS}`;
  for (const name of await files.list(folder)) {
    if (UNFINISHED.test(name)) await files.removeFolder(`${folder}/${name}`);
  }
  for (const place of [run, `${run}/${PLOTS}`, `${run}/${SAMPLES}`]) {
    for (const name of await files.list(place)) {
      if (isUnfinished(name)) await files.remove(`${place}/${name}`);
    }
  }
}
