import { train } from "../../src/training/train.js";
import { FIT, fitOptions } from "./fit.js";

/** child.ts RUN new|resume CONFIG_JSON: trains a fit in a process that can be killed. */
const [run, how, config] = process.argv.slice(2);
const options = fitOptions(run!, { resume: how === "resume" });
for await (const { step } of train(FIT, JSON.parse(config!), options)) {
  process.stdout.write(`step ${step}\n`);
}
