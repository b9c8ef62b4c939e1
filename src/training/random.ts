import { type TorchGenerator, torchGenerator } from "../tensor/mt19937.js";
import { seedSequence } from "../tensor/seedSequence.js";
import { sizeOf, type Tensor, tensor } from "../tensor/tensor.js";

/** FNV-1a, 32 bits, of a text in UTF-8. */
function hash(text: string): bigint {
  let h = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) h = Math.imul(h ^ byte, 0x01000193);
  return BigInt(h >>> 0);
}

/**
 * Random numbers for one purpose, at one step where there are steps: they follow from the seed, the
 * purpose and the step alone, so a run that resumes draws what it would have drawn. seed >= 0.
 */
export function randomFor(seed: number, purpose: string, step = 0): TorchGenerator {
  const [word] = seedSequence(BigInt(seed), [hash(purpose), BigInt(step)], 1);
  return torchGenerator(BigInt(word!));
}

/** Standard normal numbers of this shape. */
export function normal(random: TorchGenerator, shape: readonly number[]): Tensor {
  return tensor(shape, random.randn(sizeOf(shape)));
}

/** `count` whole numbers in [0, below), each as likely. below < 2^24. */
export function integers(random: TorchGenerator, count: number, below: number): Int32Array {
  return Int32Array.from(random.rand(count), (u) => Math.floor(u * below));
}

/** The whole numbers below `count` in random order, each once. Source: Durstenfeld 1964. count <= 2^32. */
export function permutation(random: TorchGenerator, count: number): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  // Two draws of 24 bits each, so that no order is visibly likelier than another.
  const draws = random.rand(2 * count);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor((draws[2 * i]! + draws[2 * i + 1]! * 2 ** -24) * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}
