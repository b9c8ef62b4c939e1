import { invariant } from "../util/errors.js";
import { type Room, room } from "../util/room.js";
import { blockedLayout } from "./blocks.js";
import { toFloat32 } from "./convert.js";
import { DTYPE_BYTES, type DType } from "./dtype.js";
import { rounders } from "./quantize.js";
import type { Parts, Recipe, Rounding, Widening } from "./recipe.js";
import { derivedTensor, type StoredTensor } from "./stored.js";
import { sizeOf } from "./tensor.js";

/*
 * Tensors that are worked out of stored ones when they are read, piece by piece, so that little of a
 * large one is in memory twice.
 */

/** Follows a recipe, for as long as it follows no other one; undefined where it rounds numbers that are not finite. */
export type Make = (of: StoredTensor, recipe: Recipe) => Promise<Parts | undefined>;

/** What becomes of rows that come in pieces. */
interface Maker {
  /** The next rows; false where they cannot be used. */
  add(piece: Uint8Array<ArrayBuffer>): boolean;
  finish(): Parts;
}

/** Bytes that are read at once, the next ones while these are worked on. */
const PIECE = 4 * 2 ** 20;

/** Rows of a piece are a multiple of this: whole blocks of channels, and rounded a little faster. */
const TILE = 16;

/** What follows recipes, one at a time, in memory that it uses again: to find new one takes longer than reading. */
export function makers(): Make {
  let round: ReturnType<typeof rounders> | undefined;
  const buffers = [room(), room()] as const;
  const space = { wide: room(), result: room() };
  let last: Promise<unknown> = Promise.resolve();
  const makerOf = (recipe: Recipe): Maker => {
    if (recipe.kind === "widen") return widening(space, recipe);
    round ??= rounders();
    return rounding(round, recipe);
  };
  const make: Make = async (of, recipe) => {
    const { source, offset, length, shape } = of;
    const maker = makerOf(recipe);
    const row = length / (shape[0] ?? 1);
    const step = Math.max(1, Math.floor(PIECE / (TILE * row))) * TILE * row;
    const read = (at: number) => {
      const bytes = Math.min(step, length - at);
      return source.read(offset + at, bytes, buffers[(at / step) % 2]!(bytes));
    };
    let next = read(0);
    try {
      for (let at = 0; at < length; at += step) {
        const piece = await next;
        if (at + step < length) next = read(at + step);
        if (!maker.add(piece)) return undefined;
      }
      return maker.finish();
    } finally {
      await next.catch(() => {}); // nobody else may use the memory before
    }
  };
  return (of, recipe) => {
    const turn = last.then(() => make(of, recipe));
    last = turn.catch(() => {});
    return turn;
  };
}

function rounding(round: ReturnType<typeof rounders>, how: Rounding): Maker {
  const rounder = round(how);
  return {
    add: (piece) => rounder.add(piece) === undefined,
    finish() {
      const { values, scale, norm } = rounder.finish();
      return [values, scale, norm];
    },
  };
}

function widening(
  space: Readonly<Record<"wide" | "result", Room>>,
  { dtype, shape, block }: Widening,
): Maker {
  const result = toFloat32(space.result(4 * sizeOf(shape)), "f32");
  const [rows = 1, ...rest] = shape;
  const width = result.length / rows;
  let done = 0;
  return {
    add(piece) {
      const count = piece.length / (DTYPE_BYTES[dtype] * width);
      const own = result.subarray(done * width, (done + count) * width);
      done += count;
      const layout = block === undefined ? undefined : blockedLayout([count, ...rest], block);
      const wide = layout ? toFloat32(space.wide(4 * own.length), "f32") : own;
      const plain = toFloat32(piece, dtype, wide);
      if (layout) layout.pack(plain, own);
      else if (plain !== own) own.set(plain);
      return true;
    },
    finish: () => [result],
  };
}

const copyOf = ({ buffer, byteOffset, byteLength }: Parts[number]) =>
  new Uint8Array(buffer.slice(byteOffset, byteOffset + byteLength));

/** A part of what a recipe makes. */
export interface MadePart {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/**
 * What a recipe makes of a tensor, whose parts are read together: small ones stay known once the large
 * one was read, or made elsewhere. `refuse` says why numbers cannot be rounded.
 */
export function madeTensors(
  of: StoredTensor,
  recipe: Recipe,
  parts: readonly MadePart[],
  { make, refuse }: { readonly make: Make; readonly refuse?: () => Error },
): readonly StoredTensor[] {
  let small: Parts | undefined;
  let underway: Promise<Parts> | undefined;
  const all = async (): Promise<Parts> => {
    const made = await make(of, recipe);
    if (!made && refuse) throw refuse();
    invariant(made, `nothing was made of ${of.source.name}`);
    const kept = made.map(copyOf);
    small = kept.slice(1);
    return kept;
  };
  const read = async (part: number): Promise<ArrayBufferView<ArrayBuffer>> => {
    if (part > 0 && small) return small[part - 1]!;
    underway ??= all();
    const made = await underway;
    if (part === 0) underway = undefined; // it is large
    return made[part]!;
  };
  const how = `${JSON.stringify(recipe)} at ${of.offset}`;
  const tell = (others: Parts): void => {
    small = others;
  };
  return parts.map(({ name, dtype, shape }, part) => ({
    ...derivedTensor(dtype, shape, of.source, `${name}: ${how}`, () => read(part)),
    made: { of, recipe, part, tell },
  }));
}
