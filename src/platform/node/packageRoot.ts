import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { invariant } from "../../util/errors.js";

/** Folder of this package, wherever its modules were compiled to. */
export function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) {
    invariant(dirname(folder) !== folder, "no package.json above this module");
    folder = dirname(folder);
  }
  return folder;
}
