import { full, type Tensor } from "../tensor/tensor.js";
import type { PartForm, ProgramOf, ProgramShelf } from "./programShelf.js";
import type { UNetForm } from "./unetPrograms.js";

/**
 * The UNet: x [B,C,h,w] at timestep t, context [B,N,D] -> raw prediction [B,4,h,w]. With `reuse` it may
 * take deep features from its last call.
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

/** What a network keeps from one call for the next. */
interface Kept {
  readonly context: Tensor;
  readonly shape: readonly number[];
  readonly features: Tensor;
}

/**
 * The UNet in one of its forms, for one run: what it reuses it keeps until the next call. `texts` may be
 * shared between runs.
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
      const fed = { x, t: full([x.shape[0]!], t), ...text };
      const run = async (name: string, more: Tensors = {}): Promise<Tensors> =>
        (await program(name)).run({ ...fed, ...more });
      if (branch === undefined) return (await run("unet")).prediction!;
      const shallow = await run("down");
      if (!reuse || !kept || kept.context !== context || `${kept.shape}` !== `${x.shape}`) {
        const { features } = await run("deep", shallow);
        kept = { context, shape: x.shape, features: features! };
      }
      return (await run("up", { ...shallow, features: kept.features })).prediction!;
    });
}
