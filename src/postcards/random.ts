import { mt19937 } from "../tensor/mt19937.js";

/** A seeded source of choices. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** Uniform in [low, high). */
  range(low: number, high: number): number;
  /** One of `items`, each as likely. */
  pick<T>(items: readonly T[]): T;
  /** True with this probability. */
  chance(probability: number): boolean;
}

/** What a seed is spread over: choices of one purpose never move those of another. */
export type Stream = "scene" | "layout" | "detail" | "caption";
const STREAMS: Readonly<Record<Stream, number>> = { scene: 1, layout: 2, detail: 3, caption: 4 };

/** The choices of `seed`, an integer in [0, 2^32), for one purpose. */
export function seededRandom(seed: number, stream: Stream): Random {
  const bits = mt19937(mixed(mixed(seed) + STREAMS[stream]));
  const next = (): number => bits() * 2 ** -32;
  return {
    next,
    range: (low, high) => low + (high - low) * next(),
    pick: (items) => items[Math.floor(next() * items.length)]!,
    chance: (probability) => next() < probability,
  };
}

/** A bijection of 32-bit integers that leaves no pattern. Source: MurmurHash3's finalizer. */
function mixed(x: number): number {
  let h = x >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
