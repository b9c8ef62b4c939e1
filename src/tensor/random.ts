import { check, invariant } from "../util/errors.js";
import { type BrownianMotion, brownianTree, type SeededRandn } from "./brownian.js";
import { divide } from "./elementwise.js";
import { torchGenerator } from "./mt19937.js";
import { type PhiloxWords, philox4x32 } from "./philox.js";
import { sizeOf, type Tensor, tensor } from "./tensor.js";

/**
 * A seeded source of standard normal noise. Each call of `randn` draws on where the last one
 * stopped.
 */
export interface NoiseSource {
  /** The seed, in [0, 2^64). */
  readonly seed: bigint;
  /** Standard normal numbers of this shape, float32. */
  randn(shape: readonly number[]): Tensor;
  /**
   * Brownian motion over [t0, t1] that the seed alone determines: draws of `randn` and it do not
   * touch each other.
   */
  brownian(shape: readonly number[], t0: number, t1: number): BrownianMotion;
}

/**
 * Noise as `torch.randn(shape, generator=torch.Generator().manual_seed(seed))` draws it on the CPU
 * in float32, bit for bit as on x86 with AVX2 or AVX-512 (other builds of PyTorch differ in the
 * last bits). seed: an integer in [-2^63, 2^64); a negative one counts from 2^64 down, as in
 * PyTorch.
 */
export function torchCpuNoise(seed: number | bigint): NoiseSource {
  const bits = seedBits(seed);
  const generator = torchGenerator(bits);
  const seeded: SeededRandn = (shape, s) => tensor(shape, torchGenerator(s).randn(sizeOf(shape)));
  return {
    seed: bits,
    randn: (shape) => tensor(shape, generator.randn(sizeOf(shape))),
    brownian: (shape, t0, t1) => brownianTree(shape, t0, t1, bits, seeded),
  };
}

/** What of an NVIDIA GPU shows in its random numbers. */
export interface CudaNoiseOptions {
  /**
   * Threads that the GPU holds at once: its multiprocessors times the most threads of each (RTX
   * 3090: 82 * 1536, A100: 108 * 2048, T4: 40 * 1024). Default: no limit, right for every tensor
   * that has no more elements than that.
   */
  readonly threads?: number;
}

/**
 * Noise as `torch.randn(shape, device="cuda")` draws it after `torch.cuda.manual_seed(seed)`: the
 * four digits that GPUs were seen to print (a GPU takes faster, rougher sines, so not every bit).
 * Source: Philox4x32-10 and Box-Muller of cuRAND, laid out as in PyTorch's
 * aten/src/ATen/native/cuda/DistributionTemplates.h. seed: as for `torchCpuNoise`.
 */
export function cudaNoise(seed: number | bigint, options: CudaNoiseOptions = {}): NoiseSource {
  const bits = seedBits(seed);
  const { threads = Number.POSITIVE_INFINITY } = options;
  check(
    threads >= BLOCK,
    "bad-argument",
    `cudaNoise: threads must be at least 256, got ${threads}`,
  );
  const seeded: SeededRandn = (shape, s) =>
    tensor(shape, philoxNormals(s, 0, sizeOf(shape), threads).normals);
  let counter = 0;
  return {
    seed: bits,
    randn: (shape) => {
      const { normals, rounds } = philoxNormals(bits, counter, sizeOf(shape), threads);
      counter += rounds;
      return tensor(shape, normals);
    },
    brownian: (shape, t0, t1) => brownianTree(shape, t0, t1, bits, seeded),
  };
}

/**
 * Noise for a batch [B, ...]: picture k is drawn from `sources[k]`, as diffusers does with a list
 * of generators. Throws unless there are B sources.
 */
export function randnBatch(sources: readonly NoiseSource[], shape: readonly number[]): Tensor {
  return stack(shape, sources, (source, picture) => source.randn(picture));
}

/**
 * Noise for stochastic differential equations between sigma `low` and `high`: (from, to) -> the
 * Brownian increment of a batch [B, ...] from one to the other over the square root of their
 * distance, so of variance 1. Picture k moves by the tree of `sources[k]`. Source: k-diffusion
 * `BrownianTreeNoiseSampler` with those seeds.
 */
export function brownianNoise(
  sources: readonly NoiseSource[],
  shape: readonly number[],
  low: number,
  high: number,
): BrownianMotion {
  const motions = sources.map((source) => source.brownian(shape.slice(1), low, high));
  return (from, to) => {
    const increments = stack(shape, motions, (motion) => motion(from, to));
    return divide(increments, Math.sqrt(Math.abs(to - from)));
  };
}

function stack<T>(
  shape: readonly number[],
  sources: readonly T[],
  draw: (source: T, picture: readonly number[]) => Tensor,
): Tensor {
  const [batch, ...picture] = shape;
  invariant(
    batch === sources.length,
    `noise: a batch of shape [${shape}] wants ${batch} sources, got ${sources.length}`,
  );
  const out = new Float32Array(sizeOf(shape));
  sources.forEach((source, k) => {
    out.set(draw(source, picture).data, k * sizeOf(picture));
  });
  return tensor(shape, out);
}

function seedBits(seed: number | bigint): bigint {
  const ok =
    typeof seed === "bigint"
      ? seed >= -(2n ** 63n) && seed < 2n ** 64n
      : Number.isSafeInteger(seed);
  check(
    ok,
    "bad-argument",
    `seed: expected an integer from -2^63 to 2^64 - 1 (a bigint beyond 2^53), got ${seed}`,
  );
  return BigInt.asUintN(64, BigInt(seed));
}

/** Threads of one block of PyTorch's kernel. */
const BLOCK = 256;

/**
 * n normal numbers from `counter` on, and the counters used. Thread i draws four numbers a round,
 * for elements i, i + T, i + 2T and i + 3T of T threads, and the next round goes on behind them.
 */
function philoxNormals(
  seed: bigint,
  counter: number,
  n: number,
  maxThreads: number,
): { normals: Float32Array<ArrayBuffer>; rounds: number } {
  const key = [Number(seed & 0xffffffffn), Number(seed >> 32n)] as const;
  const threads = BLOCK * Math.min(Math.floor(maxThreads / BLOCK), Math.ceil(n / BLOCK));
  const normals = new Float32Array(n);
  let rounds = 0;
  for (let from = 0; from < n; from += 4 * threads, rounds++) {
    const at = counter + rounds;
    for (let thread = 0; thread < threads && from + thread < n; thread++) {
      const words: PhiloxWords = [at >>> 0, Math.floor(at / 2 ** 32), thread, 0];
      philox4x32(words, key);
      for (let lane = 0, i = from + thread; lane < 4 && i < n; lane++, i += threads) {
        normals[i] = curandNormal(words, lane);
      }
    }
  }
  return { normals, rounds };
}

const { fround } = Math;
const TWO_POW_MINUS_32: number = fround(2.3283064e-10);
const TWO_PI_POW_MINUS_32: number = fround(TWO_POW_MINUS_32 * fround(2 * Math.PI));

/**
 * Normal number `lane` of the four that four words give; uniform numbers in float32 lie in (0, 1].
 * Source: Box-Muller as curand_normal.h has it, the sine first.
 */
function curandNormal(words: PhiloxWords, lane: number): number {
  const [x, y] = lane < 2 ? [words[0], words[1]] : [words[2], words[3]];
  const u = fround(fround(x) * TWO_POW_MINUS_32 + TWO_POW_MINUS_32 / 2);
  const v = fround(fround(y) * TWO_PI_POW_MINUS_32 + TWO_PI_POW_MINUS_32 / 2);
  const radius = fround(Math.sqrt(fround(-2 * fround(Math.log(u)))));
  return radius * fround(lane % 2 === 0 ? Math.sin(v) : Math.cos(v));
}
