import { finestAttention, skipCount, type UNetConfig } from "../models/unet/config.js";
import { check } from "../util/errors.js";

/** Reuse of deep features between steps. Ma et al. 2023, DeepCache. */
export interface DeepCache {
  /** They are worked out at one of `every` steps; 1: at every step. */
  readonly every: number;
  /**
   * The skip connection where the UNet is cut, counted from 0: what is deeper is reused. 0, the default,
   * saves most.
   */
  readonly branch: number;
  /** 1: every so many steps; above 1, by default 1.4, the steps in between grow in number. */
  readonly power: number;
}

/** Ways to do less work for nearly the same picture. */
export interface Shortcuts {
  readonly deepCache?: DeepCache | undefined;
  /** Side of the cells of pixels that share a key and a value at the finest level; 1: none do. */
  readonly mergeTokens: number;
}

/** Most changes in the first steps: the same work comes far nearer to the picture than evenly spaced. */
export const DEEP_CACHE_POWER = 1.4;

export const NO_SHORTCUTS: Shortcuts = { mergeTokens: 1 };

/** What a request says of shortcuts. */
export interface ShortcutRequest {
  /** Reuses deep features for so many steps in all, or as it says; 1 by default, which reuses none. */
  readonly deepCache?: number | (Partial<DeepCache> & Pick<DeepCache, "every">) | undefined;
  /**
   * Merges keys and values of self-attention in cells of so many tokens a side, 1 to 8, at the finest
   * level of the UNet that has any, and half as many at each coarser one; 1, which merges none, by default.
   */
  readonly mergeTokens?: number | undefined;
}

const MAX = { every: 1000, cell: 8, power: 10 };

/** Fills in what a request leaves out. Throws "bad-argument" for what is out of range. */
export function settleShortcuts(
  { deepCache = 1, mergeTokens = 1 }: ShortcutRequest,
  unet: UNetConfig,
  latents: readonly [height: number, width: number],
): Shortcuts {
  checkWhole("merge tokens", mergeTokens, 1, MAX.cell);
  if (mergeTokens > 1) checkRoom(mergeTokens, finestAttention(unet), Math.min(...latents));
  const {
    every,
    branch = 0,
    power = DEEP_CACHE_POWER,
  } = typeof deepCache === "number" ? { every: deepCache } : deepCache;
  checkWhole("deep cache", every, 1, MAX.every);
  if (every === 1) return { mergeTokens };
  checkWhole("deep cache branch", branch, 0, skipCount(unet) - 1);
  check(
    power >= 1 && power <= MAX.power,
    "bad-argument",
    `deep cache power: expected a number from 1 to ${MAX.power}, got ${power}.`,
  );
  return { deepCache: { every, branch, power }, mergeTokens };
}

/** Each cell's place is chosen in a square of as many cells a side as the cell has tokens. */
function checkRoom(cell: number, finest: number, side: number): void {
  const square = cell ** 2 * 2 ** finest;
  check(
    side >= square,
    "bad-argument",
    `merge tokens: cells of ${cell} x ${cell} lie in squares of ${square} latents a side, and this picture ` +
      `has ${side}. Use a larger picture or smaller cells.`,
  );
}

function checkWhole(who: string, value: number, min: number, max: number): void {
  check(
    Number.isInteger(value) && value >= min && value <= max,
    "bad-argument",
    `${who}: expected a whole number from ${min} to ${max}, got ${value}.`,
  );
}

/**
 * Steps of `count` that work deep features out, the first always: every so many (power 1), or further and
 * further apart, floor(count (k / n)^power), but never two at once. Source: Ma et al. 2023, section 3.3
 * and eq. 9 with its centre at 0.
 */
export function fullSteps(
  count: number,
  { every, power }: Pick<DeepCache, "every" | "power">,
): ReadonlySet<number> {
  const total = Math.ceil(count / every);
  const steps: number[] = [];
  for (let k = 0; k < total; k++) {
    const at = power === 1 ? k * every : Math.floor(count * (k / total) ** power);
    steps.push(Math.max(at, (steps.at(-1) ?? -1) + 1));
  }
  return new Set(steps);
}
