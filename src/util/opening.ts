/**
 * Opens something that is made of several things with a lifetime: `open` names each by `use`. They
 * are disposed of, the last first, with the result, or at once where `open` throws.
 */
export async function opening<T extends object>(
  open: (use: <D extends AsyncDisposable>(thing: D) => D) => Promise<T>,
): Promise<T & AsyncDisposable> {
  const things: AsyncDisposable[] = [];
  const end = async (): Promise<void> => {
    for (let thing = things.pop(); thing; thing = things.pop()) await thing[Symbol.asyncDispose]();
  };
  try {
    const result = await open((thing) => {
      things.push(thing);
      return thing;
    });
    return Object.assign(result, { [Symbol.asyncDispose]: end });
  } catch (error) {
    await end();
    throw error;
  }
}
