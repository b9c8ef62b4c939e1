import type { Platform } from "../../platform/types.js";
import type { StoredTensors } from "../../tensor/stored.js";
import { room } from "../../util/workplaces.js";

/*
 * Tensors that are worked out, or lie in memory, in one file that an engine can map.
 */

/** Where tensors begin, aligned as engines like it. */
const ALIGNMENT = 64;

/** Where each tensor begins, and how long the file is. */
function layout(tensors: StoredTensors): { readonly at: readonly number[]; readonly size: number } {
  let size = 0;
  const at = [...tensors.values()].map(({ length }) => {
    const begin = size;
    size += Math.ceil(length / ALIGNMENT) * ALIGNMENT;
    return begin;
  });
  return { at, size };
}

/** Bytes of the file that `writeWeights` writes. */
export const weightFileSize = (tensors: StoredTensors): number => layout(tensors).size;

/** Writes tensors one after the other; all or nothing. Throws "io", and what reading them throws. */
export async function writeWeights(
  { files }: Pick<Platform, "files">,
  path: string,
  tensors: StoredTensors,
): Promise<void> {
  await files.writeAtomically(path, pieces(tensors), { durable: false });
}

/** The tensors as they lie in a file that `writeWeights` has written. */
export async function weightsInFile(
  { openFile }: Pick<Platform, "openFile">,
  path: string,
  tensors: StoredTensors,
): Promise<StoredTensors> {
  const { at } = layout(tensors);
  const source = await openFile(path);
  return new Map(
    [...tensors].map(([name, stored], i) => [name, { ...stored, source, offset: at[i]! }]),
  );
}

/** Tensors that are worked out while those before them are written: a layer in 8 bits has three. */
const AHEAD = 4;

async function* pieces(tensors: StoredTensors): AsyncGenerator<Uint8Array> {
  const rest = tensors.values();
  const begun: Promise<Uint8Array>[] = [];
  // By turns: what was yielded has been written when the next is asked for.
  const rooms = Array.from({ length: AHEAD + 1 }, room);
  let turn = 0;
  const begin = (): void => {
    const { done, value } = rest.next();
    if (done) return;
    const into = rooms[turn++ % rooms.length]!(value.length);
    const reading = value.source.read(value.offset, value.length, into);
    reading.catch(() => {}); // whoever awaits it is told
    begun.push(reading);
  };
  for (let i = 0; i < AHEAD; i++) begin();
  for (let next = begun.shift(); next; next = begun.shift()) {
    const bytes = await next;
    begin();
    yield bytes;
    yield new Uint8Array(-bytes.length & (ALIGNMENT - 1));
  }
}
