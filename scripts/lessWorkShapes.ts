import { flopsOf } from "../src/graph/flops.js";
import type { Graph } from "../src/graph/graph.js";
import type { UNetConfig } from "../src/models/unet/config.js";
import { type Predict, predictor } from "../src/pipelines/predictor.js";
import type { ProgramShelf } from "../src/pipelines/programShelf.js";
import { fullSteps, settleShortcuts } from "../src/pipelines/shortcuts.js";
import {
  type UNetForm,
  type UNetProgram,
  unetBindings,
  unetProgramGraph,
} from "../src/pipelines/unetPrograms.js";
import type { Program } from "../src/runtime/engine.js";
import { zeros } from "../src/tensor/tensor.js";
import type { Setting } from "./lessWorkSettings.js";

/*
 * Work of the UNet in pictures of any size, without weights: its programs are asked for as in a run, and
 * count what they would do.
 */

/** A picture whose steps call the UNet once each. */
export interface Course {
  /** Latents a side. */
  readonly side: number;
  readonly steps: number;
}

const TOKENS = 77;

/** Operations of the UNet in one guided picture. Throws "bad-argument" where a setting does not fit its size. */
export async function pictureFlops(
  config: UNetConfig,
  { side, steps }: Course,
  { guidanceSteps, deepCache, mergeTokens }: Setting["request"],
  { textApart = true }: { readonly textApart?: boolean } = {},
): Promise<number> {
  const shortcuts = settleShortcuts({ deepCache, mergeTokens }, config, [side, side]);
  const form: UNetForm = {
    branch: shortcuts.deepCache?.branch,
    mergeTokens: shortcuts.mergeTokens,
    textApart,
  };
  let flops = 0;
  const predict = countedPredictor(config, form, side, (more) => {
    flops += more;
  });
  const full = fullSteps(steps, shortcuts.deepCache ?? { every: 1, power: 1 });
  const { from, to } = guidanceSteps ?? { from: 0, to: steps };
  const [one, both] = [zeros([1]), zeros([2])];
  for (let step = 0; step < steps; step++) {
    const text = step >= from && step < to ? both : one;
    await predict(one, 0, text, { reuse: !full.has(step) });
  }
  return flops;
}

/** The UNet in a form; of what goes in and comes out nothing is there but the size of the batch. */
function countedPredictor(
  config: UNetConfig,
  form: UNetForm,
  side: number,
  count: (flops: number) => void,
): Predict {
  const graphs = new Map<string, Graph>();
  const known = new Map<string, number>();
  const program = (name: string): Program => ({
    async run({ x, picture, context }) {
      const b = (picture ?? context)!.shape[0]!;
      const p = x?.shape[0] ?? b;
      const graph = graphs.get(name) ?? unetProgramGraph(name as UNetProgram, config, form);
      graphs.set(name, graph);
      const bindings = { ...unetBindings(side, side), b, p, n: TOKENS };
      const flops = known.get(`${name} ${b}`) ?? flopsOf(graph, bindings);
      known.set(`${name} ${b}`, flops);
      count(flops);
      return { prediction: zeros([b]), features: zeros([b]) };
    },
    [Symbol.asyncDispose]: async () => {},
  });
  const shelf: Pick<ProgramShelf, "use"> = {
    use: async (_part, _form, act) =>
      await act(
        async (name) => program(name),
        async () => {},
      ),
  };
  const counted = { form: "counted", source: unloaded };
  return predictor(shelf as ProgramShelf, counted, form, new WeakMap()); // it asks for nothing else
}

function unloaded(): never {
  throw new Error("nothing is loaded where work is only counted");
}
