/** One contestant's turn at one size. */
export interface Visit<C> {
  /** From 0. */
  readonly round: number;
  /** Side of the picture, in pixels. */
  readonly size: number;
  readonly contestant: C;
}

/**
 * The visits of a benchmark in their order. Contestants take turns, so that a machine that warms up or
 * gets busy slows all of them; each round begins with another one, so that none has always the same one
 * before it.
 */
export function planVisits<C>(
  contestants: readonly C[],
  sizes: readonly number[],
  rounds: number,
): Visit<C>[] {
  const visits: Visit<C>[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const size of sizes) {
      for (const [turn] of contestants.entries()) {
        const contestant = contestants[(turn + round) % contestants.length]!;
        visits.push({ round, size, contestant });
      }
    }
  }
  return visits;
}
