import { type Make, makers } from "../tensor/made.js";
import type { ByteSource } from "../util/bytes.js";
import { invariant } from "../util/errors.js";
import type { Handlers } from "./protocol.js";

/** Files as workers use them. */
export interface HostFiles {
  openFile(path: string): Promise<ByteSource>;
  /** Writes bytes at a place of a file that is there. */
  overwrite(path: string, at: number, bytes: Uint8Array): Promise<void>;
}

/** Where weights in files begin, aligned as engines like it. */
export const ALIGNMENT = 64;

/** Makes weights, for as long as nothing else is asked for. */
export interface WeightMaker extends Pick<Handlers, "make"> {
  /** Lets go of its memory. */
  rest(): void;
}

/** Makes weights out of files, and puts them in others; numbers that cannot be rounded are refused. */
export function weightMaker(files: HostFiles | undefined): WeightMaker {
  let make: Make | undefined;
  const follow: Handlers["make"] = async ({ job: { of, recipe, into, at } }) => {
    invariant(files, "this worker has no files");
    make ??= makers();
    const source = await files.openFile(of.path);
    const parts = await make({ ...of, source }, recipe);
    invariant(parts, `${of.path}: numbers that are not finite`);
    for (const [i, { buffer, byteOffset, byteLength }] of parts.entries()) {
      const begin = at[i];
      if (begin === undefined) continue;
      await files.overwrite(into, begin, new Uint8Array(buffer, byteOffset, byteLength));
      const rest = -byteLength & (ALIGNMENT - 1);
      if (rest > 0) await files.overwrite(into, begin + byteLength, new Uint8Array(rest));
    }
    return { small: parts.slice(1) };
  };
  return {
    make: follow,
    rest() {
      make = undefined;
    },
  };
}
