import { permutation, randomFor } from "../random.js";

/** Examples of one step: places in the order of one bucket. */
export interface Pick {
  readonly bucket: number;
  readonly epoch: number;
  /** The bucket's members in the order of the epoch: indices into its list. */
  readonly order: Uint32Array;
  /** Where in `order` each example of the batch stands. */
  readonly places: readonly number[];
}

/** Which examples each step sees. */
export interface Order {
  readonly stepsPerEpoch: number;
  at(step: number): Pick;
}

interface Epoch {
  readonly number: number;
  readonly orders: readonly Uint32Array[];
  /** The batches of all buckets, shuffled: bucket and place of the first example. */
  readonly batches: readonly (readonly [bucket: number, from: number])[];
}

/** Epochs whose orders stay in memory: the one that is trained on and the one prepared next. */
const KEPT = 2;

/**
 * Every example once an epoch, in batches of one bucket each, in an order that follows from the
 * seed and the epoch. A bucket's last batch is filled up from the start of its order, so batches
 * are always whole and no example is left out; fewer than `batchSize` of a bucket come twice.
 */
export function shuffledOrder(counts: readonly number[], batchSize: number, seed: number): Order {
  const stepsPerEpoch = counts.reduce((n, count) => n + Math.ceil(count / batchSize), 0);
  const kept: Epoch[] = [];

  const epoch = (number: number): Epoch => {
    const known = kept.find((e) => e.number === number);
    if (known !== undefined) return known;
    const made = makeEpoch(counts, batchSize, seed, number);
    kept.push(made);
    if (kept.length > KEPT) kept.shift();
    return made;
  };

  return {
    stepsPerEpoch,
    at(step) {
      const { number, orders, batches } = epoch(Math.floor(step / stepsPerEpoch));
      const [bucket, from] = batches[step % stepsPerEpoch]!;
      const order = orders[bucket]!;
      const places = Array.from({ length: batchSize }, (_, i) => (from + i) % order.length);
      return { bucket, epoch: number, order, places };
    },
  };
}

function makeEpoch(
  counts: readonly number[],
  batchSize: number,
  seed: number,
  number: number,
): Epoch {
  const orders = counts.map((count, bucket) =>
    permutation(randomFor(seed, `data/order/${bucket}`, number), count),
  );
  const plain = counts.flatMap((count, bucket) =>
    Array.from(
      { length: Math.ceil(count / batchSize) },
      (_, i) => [bucket, i * batchSize] as const,
    ),
  );
  const shuffled = permutation(randomFor(seed, "data/batches", number), plain.length);
  return { number, orders, batches: Array.from(shuffled, (i) => plain[i]!) };
}
