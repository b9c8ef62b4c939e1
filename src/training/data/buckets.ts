/** A size in pixels. */
export type Size = readonly [width: number, height: number];

/** Which sizes buckets may have. */
export interface BucketOptions {
  readonly resolution: number;
  readonly multipleOf: number;
  readonly maxAspect: number;
}

/**
 * Sizes with sides that are multiples of `multipleOf`, at most `resolution` squared pixels and at
 * most `maxAspect` long, the squarest first: for each width the greatest height. Source: NovelAI
 * 2022, "Aspect Ratio Bucketing".
 */
export function bucketSizes({ resolution, multipleOf, maxAspect }: BucketOptions): Size[] {
  const square = Math.max(1, Math.floor(resolution / multipleOf));
  const area = (resolution / multipleOf) ** 2;
  const sizes: Size[] = [[square * multipleOf, square * multipleOf]];
  for (let short = square; short >= 1; short--) {
    const long = Math.floor(area / short);
    if (long <= short || long / short > maxAspect) continue;
    sizes.push([short * multipleOf, long * multipleOf], [long * multipleOf, short * multipleOf]);
  }
  return sizes;
}

/** The size whose shape is nearest, by the ratio of the aspects. */
export function nearestSize(sizes: readonly Size[], width: number, height: number): Size {
  const distance = ([w, h]: Size): number => Math.abs(Math.log((w / h) * (height / width)));
  return sizes.reduce((best, size) => (distance(size) < distance(best) ? size : best));
}

/** Examples, by number, that get one size. */
export interface Group {
  readonly size: Size;
  readonly members: readonly number[];
}

/**
 * Sorts pictures into buckets of the nearest shape. A bucket with fewer than `least` pictures would
 * show each of them too often, so it joins the one of the nearest shape, the smallest first.
 * `pictures`: the size of each example.
 */
export function groupBySize(
  pictures: readonly Size[],
  sizes: readonly Size[],
  least: number,
): Group[] {
  const groups = new Map<Size, number[]>();
  pictures.forEach(([width, height], i) => {
    const size = nearestSize(sizes, width, height);
    const members = groups.get(size);
    if (members === undefined) groups.set(size, [i]);
    else members.push(i);
  });
  while (groups.size > 1) {
    const [size, members] = [...groups].reduce((a, b) => (b[1].length < a[1].length ? b : a));
    if (members.length >= least) break;
    groups.delete(size);
    groups.get(nearestSize([...groups.keys()], ...size))!.push(...members);
  }
  return [...groups]
    .sort(([a], [b]) => a[0] - b[0])
    .map(([size, members]) => ({ size, members: members.sort((a, b) => a - b) }));
}
