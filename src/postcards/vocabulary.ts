import type { Merge } from "../text/bpe.js";
import { trainBpe } from "../text/trainBpe.js";
import { captionOf } from "./caption.js";
import { trainingScene } from "./scene.js";

/** The captions of the first `n` seeds, as a training sees them. */
export function* captions(n: number): Generator<string> {
  for (let seed = 0; seed < n; seed++) yield captionOf(trainingScene(seed), seed).text;
}

/**
 * The merges that a model of postcards reads with: learned from `n` captions until every word that
 * occurs twice in them is one token.
 */
export function captionMerges(n = 20_000): Merge[] {
  return trainBpe(captions(n), { merges: Number.POSITIVE_INFINITY });
}
