import { EVALUATION_SEEDS } from "../../postcards/evaluation.js";
import { POSTCARD_SIZE } from "../../postcards/layout.js";
import { integers, randomFor } from "../random.js";
import { type DataContext, stepsAhead } from "./context.js";
import { shuffledOrder } from "./order.js";
import { type DataPool, withPool } from "./pool.js";
import { prefetch } from "./prefetch.js";
import type { Crop } from "./protocol.js";
import type { PostcardsSpec } from "./spec.js";
import type { Batch, BatchSource, ExampleSet } from "./types.js";

const SEEDS = 2 ** 32;

/** An endless source begins below this, a billion postcards before those that are for measuring. */
const STARTS = EVALUATION_SEEDS / 2;

/** Pictures that stand for the painter in a fingerprint: a painter that changed paints them otherwise. */
const PROBES = 8;

/**
 * Postcards, painted as they are needed. Postcard k has seed `firstSeed` + k: an endless source
 * shows them in that order, a finite one shuffles them anew each epoch.
 */
export function openPostcards(spec: PostcardsSpec, context: DataContext): Promise<BatchSource> {
  const { batchSize, seed } = context;
  const { count, crop, workers } = spec;
  const first = firstSeed(spec, seed);
  const side = crop ?? POSTCARD_SIZE;
  const order = count === undefined ? undefined : shuffledOrder([count], batchSize, seed);

  const numbersAt = (step: number): readonly number[] => {
    if (order === undefined) {
      return Array.from({ length: batchSize }, (_, i) => step * batchSize + i);
    }
    const { order: shuffled, places } = order.at(step);
    return places.map((place) => shuffled[place]!);
  };

  return withPool(context.startWorker, workers, async (pool) => {
    const make = (step: number): Promise<Batch> =>
      paint(pool, first, numbersAt(step), crop === undefined ? [] : cropsAt(step, crop, context));
    const batches = prefetch(make, stepsAhead(context, workers, side * side));
    const fixed = count !== undefined && crop === undefined;
    return {
      size: count,
      sizes: [[side, side]],
      stepsPerEpoch: order?.stepsPerEpoch,
      skipped: new Map(),
      examples: fixed ? await exampleSet(pool, first, count, context) : undefined,
      batch: batches.at,
    };
  });
}

function firstSeed({ firstSeed, count }: PostcardsSpec, seed: number): number {
  if (firstSeed !== undefined) return firstSeed;
  if (count !== undefined) return 0;
  return integers(randomFor(seed, "data/postcards"), 1, STARTS)[0]!;
}

function cropsAt(step: number, side: number, { seed, batchSize }: DataContext): Crop[] {
  const uniform = randomFor(seed, "data/crop", step).rand(2 * batchSize);
  return Array.from({ length: batchSize }, (_, i) => ({
    side,
    at: [uniform[2 * i]!, uniform[2 * i + 1]!],
  }));
}

async function paint(
  pool: DataPool,
  first: number,
  numbers: readonly number[],
  crops: readonly Crop[],
): Promise<Batch> {
  // What began among training's seeds stays there.
  const end = first < EVALUATION_SEEDS ? EVALUATION_SEEDS : SEEDS;
  const seeds = numbers.map((k) => (first + k) % end);
  const painted = await pool.ask("paint", { seeds, crops });
  return { ...painted, names: seeds.map((seed) => `postcard ${seed}`) };
}

async function exampleSet(
  pool: DataPool,
  first: number,
  count: number,
  { platform }: DataContext,
): Promise<ExampleSet> {
  const members = Uint32Array.from({ length: count }, (_, k) => k);
  const probe = await paint(pool, first, [...members.subarray(0, PROBES)], []);
  const hash = platform.hash("sha256");
  hash.update(
    new TextEncoder().encode(JSON.stringify(["postcards", first, count, probe.captions])),
  );
  hash.update(new Uint8Array(probe.images.data.buffer));
  return {
    fingerprint: await hash.digest(),
    buckets: [{ width: POSTCARD_SIZE, height: POSTCARD_SIZE, members }],
    read: async (_, numbers) => ({ ...(await paint(pool, first, numbers, [])), numbers }),
  };
}
