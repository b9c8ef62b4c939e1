import { concatBatch } from "../../tensor/elementwise.js";
import { type Tensor, tensor } from "../../tensor/tensor.js";
import { check, TintypeError } from "../../util/errors.js";
import { oneLine } from "../../util/oneLine.js";
import { randomFor } from "../random.js";
import { bucketSizes, groupBySize, type Size } from "./buckets.js";
import { type DataContext, stepsAhead } from "./context.js";
import type { Listing } from "./listing.js";
import { measure } from "./measure.js";
import { type Order, type Pick, shuffledOrder } from "./order.js";
import { type DataPool, withPool } from "./pool.js";
import { prefetch } from "./prefetch.js";
import type { Frame } from "./protocol.js";
import type { PictureOptions } from "./spec.js";
import type { Batch, BatchSource, Bucket, ExampleSet } from "./types.js";

/** A data set with its threads. */
interface Opened {
  readonly listing: Listing;
  readonly options: PictureOptions;
  readonly pool: DataPool;
  readonly buckets: readonly Bucket[];
  readonly skipped: Map<string, string>;
}

/** Batches of the pictures in a listing, decoded, scaled and cut in threads. */
export function openPictures(
  listing: Listing,
  options: PictureOptions & { readonly workers: number },
  context: DataContext,
): Promise<BatchSource> {
  const { batchSize, seed } = context;
  return withPool(context.startWorker, options.workers, async (pool) => {
    const skipped = new Map(listing.skipped);
    const buckets = await sort(listing, options, pool, skipped, context);
    const opened: Opened = { listing, options, pool, buckets, skipped };
    const counts = buckets.map(({ members }) => members.length);
    const order = shuffledOrder(counts, batchSize, seed);
    const pixels = Math.max(...buckets.map(({ width, height }) => width * height));
    const batches = prefetch(
      (step) => batchAt(opened, order, step, seed),
      stepsAhead(context, options.workers, pixels),
    );
    return {
      size: counts.reduce((a, b) => a + b),
      sizes: buckets.map(({ width, height }) => [width, height] as const),
      stepsPerEpoch: order.stepsPerEpoch,
      skipped,
      fingerprint: listing.fingerprint,
      examples: isFixed(options) ? await exampleSet(opened, context) : undefined,
      batch: batches.at,
    };
  });
}

const isFixed = ({ keep, crop, flip }: PictureOptions): boolean =>
  keep === "center" && crop === undefined && !flip;

/** The buckets of the pictures whose size can be read. */
async function sort(
  listing: Listing,
  options: PictureOptions,
  pool: DataPool,
  skipped: Map<string, string>,
  { batchSize, platform }: DataContext,
): Promise<Bucket[]> {
  const { resolution, buckets, crop } = options;
  const square = crop ?? resolution;
  if (!buckets || crop !== undefined) {
    const members = Uint32Array.from(listing.entries, (_, i) => i);
    return [{ width: square, height: square, members }];
  }
  const sizes: Size[] = [];
  const numbers: number[] = [];
  for (const [i, measured] of (await measure(listing, pool, platform)).entries()) {
    if (typeof measured === "string") {
      skipped.set(listing.entries[i]!.ref.name, measured);
    } else {
      sizes.push(measured);
      numbers.push(i);
    }
  }
  if (numbers.length === 0) throw nothingReadable(listing, skipped);
  return groupBySize(sizes, bucketSizes(options), batchSize).map(
    ({ size: [width, height], members }) => ({
      width,
      height,
      members: Uint32Array.from(members, (i) => numbers[i]!),
    }),
  );
}

function nothingReadable({ name, entries }: Listing, skipped: Map<string, string>): TintypeError {
  const { length } = entries;
  const all = length === 1 ? "not even its only picture" : `none of its ${length} pictures`;
  const reasons = [...skipped.values()].slice(0, 3).join(" ");
  return new TintypeError("bad-file", oneLine(`${name}: ${all} can be read. ${reasons}`));
}

/** Numbers to try for one place of a batch: on along the bucket's order, then all others. */
function* candidates({ listing, buckets }: Opened, pick: Pick, place: number): Generator<number> {
  const { members } = buckets[pick.bucket]!;
  for (let i = 0; i < members.length; i++) {
    yield members[pick.order[(place + i) % members.length]!]!;
  }
  for (let i = 0; i < listing.entries.length; i++) yield i;
}

async function batchAt(opened: Opened, order: Order, step: number, seed: number): Promise<Batch> {
  const { listing, options, buckets } = opened;
  const pick = order.at(step);
  const { width, height } = buckets[pick.bucket]!;
  const { rand } = randomFor(seed, "data/frame", step);
  const frames = framesAt(options, [width, height], pick.places.length, rand);
  const queues = pick.places.map((place) => candidates(opened, pick, place));
  const { images, chosen } = await readAll(opened, queues, frames);
  const entries = chosen.map((number) => listing.entries[number]!);
  return {
    images,
    captions: entries.map(({ caption }) => caption),
    names: entries.map(({ ref }) => ref.name),
  };
}

/** How each picture of a batch is cut; draws the same numbers whatever the options are. */
function framesAt(
  { resolution, crop, keep, flip, resample }: PictureOptions,
  size: Size,
  count: number,
  rand: (n: number) => Float32Array,
): Frame[] {
  const uniform = rand(3 * count);
  return Array.from({ length: count }, (_, i) => {
    const [x, y, coin] = [uniform[3 * i]!, uniform[3 * i + 1]!, uniform[3 * i + 2]!];
    return {
      cover: crop === undefined ? size : [resolution, resolution],
      size,
      at: keep === "random" || crop !== undefined ? [x, y] : [0.5, 0.5],
      flip: flip && coin < 0.5,
      resample,
    };
  });
}

/** One picture for each queue: the first that can be read. */
async function readAll(
  opened: Opened,
  queues: readonly Iterator<number>[],
  frames: readonly Frame[],
): Promise<{ images: Tensor; chosen: number[] }> {
  const { listing, pool, skipped } = opened;
  const chosen: number[] = queues.map((queue) => nextWhole(opened, queue));
  const parts: { places: readonly number[]; images: Tensor }[] = [];
  for (let open = [...queues.keys()]; open.length > 0; ) {
    const { images, broken } = await pool.ask("frame", {
      pictures: open.map((place) => listing.entries[chosen[place]!]!.ref),
      frames: open.map((place) => frames[place]!),
    });
    if (images !== undefined) parts.push({ places: open.filter((_, i) => !broken.has(i)), images });
    for (const [i, reason] of broken) {
      skipped.set(listing.entries[chosen[open[i]!]!]!.ref.name, reason);
    }
    open = [...broken.keys()].map((i) => open[i]!);
    for (const place of open) chosen[place] = nextWhole(opened, queues[place]!);
  }
  return { images: assembled(parts, queues.length), chosen };
}

/** The next number that is not known to be broken. */
function nextWhole({ listing, skipped }: Opened, queue: Iterator<number>): number {
  for (;;) {
    const { value, done } = queue.next();
    if (done) throw nothingReadable(listing, skipped);
    if (!skipped.has(listing.entries[value]!.ref.name)) return value;
  }
}

/** The pictures of a batch from parts of it. */
function assembled(
  parts: readonly { readonly places: readonly number[]; readonly images: Tensor }[],
  count: number,
): Tensor {
  const [first] = parts;
  if (parts.length === 1 && first!.places.length === count) return first!.images;
  const all = concatBatch(parts.map(({ images }) => images));
  const size = all.data.length / count;
  const data = new Float32Array(all.data.length);
  for (const [i, place] of parts.flatMap(({ places }) => places).entries()) {
    data.set(all.data.subarray(i * size, (i + 1) * size), place * size);
  }
  return tensor(all.shape, data);
}

async function exampleSet(opened: Opened, { platform }: DataContext): Promise<ExampleSet> {
  const { listing, options, pool, buckets, skipped } = opened;
  const { resolution, multipleOf, maxAspect, resample } = options;
  const sizes = buckets.map(({ width, height, members }) => [width, height, members.length]);
  const settings = [listing.fingerprint, resolution, multipleOf, maxAspect, resample, sizes];
  const hash = platform.hash("sha256");
  hash.update(new TextEncoder().encode(JSON.stringify(settings)));
  const middle = (count: number): Float32Array => new Float32Array(count).fill(0.5);
  return {
    fingerprint: await hash.digest(),
    buckets,
    async read({ width, height }, numbers) {
      const entries = numbers.map((number) => listing.entries[number]!);
      const { images, broken } = await pool.ask("frame", {
        pictures: entries.map(({ ref }) => ref),
        frames: framesAt(options, [width, height], numbers.length, middle),
      });
      for (const [i, reason] of broken) skipped.set(entries[i]!.ref.name, reason);
      const whole = entries.filter((_, i) => !broken.has(i));
      return {
        images: images ?? tensor([0, 3, height, width], new Float32Array(0)),
        captions: whole.map(({ caption }) => caption),
        names: whole.map(({ ref }) => ref.name),
        numbers: numbers.filter((_, i) => !broken.has(i)),
      };
    },
  };
}

/** Throws "bad-argument" for options that contradict each other. */
export function checkPictureOptions({ resolution, multipleOf, crop }: PictureOptions): void {
  check(
    (crop ?? resolution) % multipleOf === 0,
    "bad-argument",
    `data: ${crop === undefined ? "resolution" : "crop"} ${crop ?? resolution} is no multiple of ` +
      `multipleOf ${multipleOf}. Change one of the two.`,
  );
  check(
    crop === undefined || crop <= resolution,
    "bad-argument",
    `data: crop ${crop} is larger than resolution ${resolution}. Change one of the two.`,
  );
}
