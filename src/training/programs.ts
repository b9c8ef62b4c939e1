import type { Tensor } from "../tensor/tensor.js";
import { invariant } from "../util/errors.js";

/*
 * Programs of training graphs, whose shapes are static, and what comes out of them.
 */

/** The number in a scalar output. */
export function scalar(value: Tensor | undefined): number {
  invariant(value?.data.length === 1, "an output is no scalar");
  return value.data[0]!;
}

/** Programs by the shape of their batch, each made when a batch first has that shape. */
export function byShape<P extends AsyncDisposable>(
  make: (shape: readonly number[]) => Promise<P>,
): { get(shape: readonly number[]): Promise<P> } & AsyncDisposable {
  const programs = new Map<string, Promise<P>>();
  return {
    get(shape) {
      const known = programs.get(`${shape}`) ?? make(shape);
      programs.set(`${shape}`, known);
      return known;
    },
    async [Symbol.asyncDispose]() {
      for (const made of programs.values()) {
        const program = await made.catch(() => undefined); // whoever asked for it was told
        await program?.[Symbol.asyncDispose]();
      }
    },
  };
}
