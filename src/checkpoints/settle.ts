import type { Platform } from "../platform/types.js";
import { weightsKey } from "../runtime/cache.js";
import type { SettledWeights } from "../runtime/engine.js";
import type { StoredTensor, StoredTensors } from "../tensor/stored.js";

/** What settling needs of the platform. */
export type SettlePlatform = Pick<Platform, "files" | "hash" | "cacheDir" | "openFile">;

const ALIGNMENT = 64;

/**
 * Puts weights that are worked out into files that an engine can map, in the folder of compiled
 * programs, for as long as a program is loaded from them. Undefined where the disk has no room.
 */
export async function settle(
  platform: SettlePlatform,
  weights: StoredTensors,
): Promise<SettledWeights | undefined> {
  const { files, cacheDir } = platform;
  const folder = `${cacheDir}/programs`;
  const pick = (wanted: (t: StoredTensor) => boolean): StoredTensors =>
    new Map([...weights].filter(([, t]) => t.source.path === undefined && wanted(t)));
  const derived = pick(({ source }) => source.derived !== undefined);
  const loose = pick(({ source }) => source.derived === undefined);
  const bytes = layout(derived).size + layout(loose).size;
  if (((await files.freeSpace(folder)) ?? bytes) < bytes) return undefined;
  await files.makeFolder(folder);
  const whole = `${folder}/${await weightsKey(platform, wholeNumbers(derived))}.weights`;
  const small = `${folder}/${crypto.randomUUID()}.weights`;
  const found = [await inFile(platform, whole, derived), await inFile(platform, small, loose)];
  return {
    weights: new Map([...weights, ...found.flatMap((tensors) => [...tensors])]),
    [Symbol.asyncDispose]: async () => {
      // What is mapped stays so; where a system forbids this, the cache sweeps up later.
      for (const path of [small, whole]) await files.remove(path).catch(() => {});
    },
  };
}

const wholeNumbers = (derived: StoredTensors): StoredTensor[] =>
  [...derived.values()].filter(({ dtype }) => dtype === "i8");

/** Where each tensor begins, aligned as engines like it, and how long the file is. */
function layout(tensors: StoredTensors): { readonly at: readonly number[]; readonly size: number } {
  let size = 0;
  const at = [...tensors.values()].map(({ length }) => {
    const begin = size;
    size += Math.ceil(length / ALIGNMENT) * ALIGNMENT;
    return begin;
  });
  return { at, size };
}

/** The tensors in a file that was written before, or is now. */
async function inFile(
  { files, openFile }: SettlePlatform,
  path: string,
  tensors: StoredTensors,
): Promise<StoredTensors> {
  const { at, size } = layout(tensors);
  // Files are renamed into place, so that one of this size is whole.
  if ((await files.stat(path))?.size !== size)
    await files.writeAtomically(path, pieces(tensors), { durable: false });
  const source = await openFile(path);
  return new Map(
    [...tensors].map(([name, stored], i) => [name, { ...stored, source, offset: at[i]! }]),
  );
}

/** Tensors that are worked out while those before them are written: a layer has three. */
const AHEAD = 4;

async function* pieces(tensors: StoredTensors): AsyncGenerator<Uint8Array> {
  const rest = tensors.values();
  const begun: Promise<Uint8Array>[] = [];
  const begin = (): void => {
    const { done, value } = rest.next();
    if (done) return;
    const reading = value.source.read(value.offset, value.length);
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
