import type { Fed, OnDevice, Program } from "../runtime/engine.js";
import { full, type Tensor, tensor } from "../tensor/tensor.js";
import type { PartForm, ProgramOf, ProgramShelf } from "./programShelf.js";
import type { UNetForm } from "./unetPrograms.js";

/**
 * The UNet: x [P,C,h,w] at timestep t, context [B,N,D] -> raw prediction [B,4,h,w]. Text i is about picture
 * i modulo P. With `reuse` it may take deep features from its last call.
 */
export type Predict = (
  x: Tensor,
  t: number,
  context: Tensor,
  options?: { readonly reuse?: boolean },
) => Promise<Tensor>;

type Tensors = Readonly<Record<string, Tensor>>;

/** Keys and values of texts by the tensor that they were made from, for as long as that is there. */
export type TextMemory = WeakMap<Tensor, Tensors>;

/** Results that go to other programs: on the host, or on the device where that can hold them. */
type Handed = Readonly<Record<string, Fed>>;

/** What a network keeps from one call for the next. */
interface Kept {
  readonly context: Tensor;
  readonly shape: readonly number[];
  readonly features: Handed;
}

/**
 * The UNet in one of its forms, for one run: what it reuses it keeps until the next call. `texts` may be
 * shared between runs. Only latents and predictions cross to a device that can hold the rest.
 */
export function predictor(
  shelf: ProgramShelf,
  form: PartForm,
  { branch, textApart }: UNetForm,
  texts: TextMemory,
): Predict {
  let kept: Kept | undefined;
  const textOf = async (program: ProgramOf, context: Tensor): Promise<Tensors> => {
    const known = texts.get(context) ?? (await (await program("text")).run({ context }));
    texts.set(context, known);
    return known;
  };
  return (x, t, context, { reuse = false } = {}) =>
    shelf.use("unet", form, async (program) => {
      const text = textApart ? await textOf(program, context) : { context };
      const pictures = x.shape[0]!;
      const rows = Float32Array.from({ length: context.shape[0]! }, (_, i) => i % pictures);
      const picture = tensor([rows.length], rows);
      const fed = { x, t: full([pictures], t), picture, ...text };
      if (branch === undefined) return (await (await program("unet")).run(fed)).prediction!;
      const shallow = await handed(await program("down"), fed);
      if (!reuse || !kept || kept.context !== context || `${kept.shape}` !== `${x.shape}`) {
        free(kept?.features ?? {});
        kept = undefined;
        const features = await handed(await program("deep"), { ...fed, ...shallow });
        kept = { context, shape: x.shape, features };
      }
      const up = await program("up");
      const { prediction } = await (up.onDevice ?? up).run({
        ...fed,
        ...shallow,
        ...kept.features,
      });
      free(shallow);
      return prediction!;
    });
}

/** Runs a program whose results go to others: they stay on the device where they can. */
async function handed(program: Program, inputs: Handed): Promise<Handed> {
  const on: OnDevice = program.onDevice ?? program;
  return await (on.leave ? on.leave(inputs) : on.run(inputs));
}

function free(results: Handed): void {
  for (const one of Object.values(results)) if ("resident" in one) one[Symbol.dispose]();
}
