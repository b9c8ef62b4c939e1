// Resolves one model in a process of its own: child.ts HOME ENDPOINT REF. Prints what happened.
import { resolveModel } from "../../src/hub/resolve.js";
import { platformIn } from "./fixtures.js";

const [home, endpoint, ref] = process.argv.slice(2) as [string, string, string];
const notices: string[] = [];
const model = await resolveModel(ref, {
  platform: platformIn(home, endpoint),
  notice: (message) => notices.push(message),
});
const files = model.kind === "folder" ? await model.folder.list() : [model.source.name];
process.stdout.write(`${JSON.stringify({ files, notices })}\n`);
