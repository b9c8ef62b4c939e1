/** f of every item, in their order; at most `limit` are under way at once. */
export async function concurrently<T, R>(
  items: readonly T[],
  limit: number,
  f: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results = new Array<R>(items.length);
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < items.length) {
      const i = next++;
      results[i] = await f(items[i]!, i);
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, work));
  return results;
}

/** f of every item, one after the other; that of the next begins while the caller uses one. */
export async function* oneAhead<T, R>(
  items: readonly T[],
  f: (item: T) => Promise<R>,
): AsyncGenerator<R> {
  let next: Promise<R> | undefined;
  for (const [i, item] of items.entries()) {
    const now = next ?? f(item);
    next = i + 1 < items.length ? f(items[i + 1]!) : undefined;
    next?.catch(() => {}); // told when its turn comes
    yield await now;
  }
}
