/** One contestant's turn at one size. */
export interface Visit<C> {
  /** Side of the picture, in pixels. */
  readonly size: number;
  readonly contestant: C;
}

/**
 * The visits of each round, in their order. Contestants take turns, so that a machine that warms up or
 * gets busy slows all of them; each round begins with another one, so that a pause between rounds
 * favours nobody.
 */
export function planRounds<C>(
  contestants: readonly C[],
  sizes: readonly number[],
  rounds: number,
): Visit<C>[][] {
  return Array.from({ length: rounds }, (_, round) => {
    const first = contestants.length === 0 ? 0 : round % contestants.length;
    const order = [...contestants.slice(first), ...contestants.slice(0, first)];
    return sizes.flatMap((size) => order.map((contestant) => ({ size, contestant })));
  });
}
