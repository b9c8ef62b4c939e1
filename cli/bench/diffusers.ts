import { join } from "node:path";
import { packageRoot } from "../../src/platform/node/packageRoot.js";
import { askedContestant, startWorker } from "./askedContestant.js";
import { type Contestant, PROMPT } from "./contestant.js";
import type { Command } from "./process.js";
import type { WorkerSettings } from "./protocol.js";

/** diffusers on PyTorch, in an interpreter that has them. `settings.model` is a diffusers folder. */
export function diffusersContestant(python: string, settings: WorkerSettings): Contestant {
  const name = `diffusers ${settings.dtype}`;
  const worker = diffusersWorker(python);
  return askedContestant({
    name,
    program: "diffusers",
    dtype: settings.dtype,
    settings,
    worker,
    async picture({ side, steps, signal }, output) {
      await using process = startWorker(name, worker, signal);
      const request = { do: "picture", prompt: PROMPT, side, steps, output, ...settings } as const;
      const { value } = await process.ask(request);
      return { seconds: process.process.age() / 1000, peakBytes: value };
    },
  });
}

/** How diffusers is started so that it answers requests. */
export function diffusersWorker(python: string): Command {
  return { file: python, args: [join(packageRoot(), "bench", "diffusersWorker.py")] };
}
