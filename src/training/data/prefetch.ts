/** Values by step, made ahead of time. */
export interface Prefetched<T> {
  /** The value of a step; those of the next `ahead` steps begin to be made. */
  readonly at: (step: number) => Promise<T>;
  /** Forgets what is being made. */
  readonly clear: () => void;
}

/**
 * Makes the values of the next `ahead` steps while the caller uses one. At most `ahead + 1` are held;
 * a jump to another step drops those that it passes by. A value that fails fails for its own step.
 */
export function prefetch<T>(make: (step: number) => Promise<T>, ahead: number): Prefetched<T> {
  const held = new Map<number, Promise<T>>();
  const hold = (step: number): Promise<T> => {
    const known = held.get(step);
    if (known !== undefined) return known;
    const made = make(step);
    made.catch(() => {}); // told to whoever asks for the step
    held.set(step, made);
    return made;
  };
  return {
    at(step) {
      for (const key of held.keys()) if (key < step || key > step + ahead) held.delete(key);
      const wanted = hold(step);
      held.delete(step); // the caller's from here on
      for (let next = step + 1; next <= step + ahead; next++) hold(next);
      return wanted;
    },
    clear: () => held.clear(),
  };
}
