import { check, invariant } from "../util/errors.js";
import { type Kernels, momentumShares } from "./kernels.js";
import { KERNELS_WASM } from "./kernelsWasm.js";

/*
 * Arrays in WebAssembly memory and the kernels that work on them. A memory of wasm32 ends at 4 GiB,
 * so large models lie in several, each with kernels of its own.
 */

/** float32 arrays that were taken together, and the kernels that work on them. */
export interface Memory {
  /** Arrays in the order of the groups that were asked for, all zero. */
  readonly groups: readonly (readonly Float32Array<ArrayBuffer>[])[];
  /** Every call takes arrays of one group. */
  readonly kernels: Kernels;
  /** Bytes of all memories. */
  readonly bytes: number;
}

const PAGE = 65536;
/** Arrays begin on cache lines, and end with zeros up to the next. */
const ALIGNMENT = 64;
/** Memories are filled up to here; a larger group has one to itself. */
const MEMORY_LIMIT = 2 ** 30;
/** What 32-bit addresses reach; the last page stays out, so that no end wraps round to 0. */
const LARGEST = 2 ** 32 - PAGE;

type Loop = (...numbers: number[]) => number;
type Exports = { readonly [K in keyof Kernels]: Loop };

/** Takes memory once and for all: for each group, one array of each of its `lengths` in floats. */
export function takeMemory(
  lengths: readonly (readonly number[])[],
  limit: number = MEMORY_LIMIT,
): Memory {
  const module = new WebAssembly.Module(decode(KERNELS_WASM));
  const loops = new Map<ArrayBufferLike, Exports>();
  const groups: Float32Array<ArrayBuffer>[][] = [];
  let bytes = 0;
  for (const batch of batches(lengths, limit)) {
    const pages = Math.ceil(batch.reduce((n, group) => n + groupBytes(group), 0) / PAGE);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    const { exports } = new WebAssembly.Instance(module, { env: { memory } });
    loops.set(memory.buffer, exports as unknown as Exports);
    bytes += pages * PAGE;
    let at = 0;
    for (const group of batch) {
      groups.push(
        group.map((length) => {
          const array = new Float32Array(memory.buffer as ArrayBuffer, at, length);
          at += aligned(length);
          return array;
        }),
      );
    }
  }
  return { groups, kernels: kernelsOf(loops), bytes };
}

const aligned = (length: number): number => Math.ceil((4 * length) / ALIGNMENT) * ALIGNMENT;
const groupBytes = (lengths: readonly number[]): number =>
  lengths.reduce((n, length) => n + aligned(length), 0);

/** Consecutive groups that share a memory. Throws "unsupported" for one that no memory holds. */
function batches(
  groups: readonly (readonly number[])[],
  limit: number,
): (readonly (readonly number[])[])[] {
  const batches: (readonly number[])[][] = [];
  let room = 0;
  for (const group of groups) {
    const bytes = groupBytes(group);
    check(
      bytes <= LARGEST,
      "unsupported",
      `training: a parameter of ${group[0]} numbers and what its optimizer keeps do not fit into one memory of 4 GiB.`,
    );
    if (bytes > room || batches.length === 0) {
      batches.push([]);
      room = limit;
    }
    batches.at(-1)!.push(group);
    room -= bytes;
  }
  return batches;
}

function decode(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
}

function kernelsOf(memories: ReadonlyMap<ArrayBufferLike, Exports>): Kernels {
  /** The loops of the memory that all of `arrays` lie in, their addresses, and the first one's end. */
  const call = (kernel: keyof Kernels, arrays: readonly Float32Array[], ...numbers: number[]) => {
    const [first] = arrays;
    const loops = memories.get(first!.buffer);
    invariant(loops !== undefined, `${kernel}: an array lies outside of the kernels' memories`);
    for (const { buffer, length, byteOffset } of arrays) {
      const fits = buffer === first!.buffer && length === first!.length;
      invariant(fits && byteOffset % ALIGNMENT === 0, `${kernel}: arrays do not belong together`);
    }
    const starts = arrays.map((a) => a.byteOffset);
    return loops[kernel](...starts, starts[0]! + aligned(first!.length), ...numbers);
  };
  return {
    adam(p, g, m, v, { scale, l2, shrink, betas: [beta1, beta2], stepSize, rootScale, epsilon }) {
      const moments = [1 - beta1, beta2, 1 - beta2];
      call("adam", [p, g, m, v], scale, l2, shrink, ...moments, stepSize, rootScale, epsilon);
    },
    sgd(p, g, { scale, l2, learningRate }) {
      call("sgd", [p, g], scale, l2, learningRate);
    },
    momentum(p, g, b, numbers) {
      const { scale, l2, learningRate, momentum } = numbers;
      const shares = momentumShares(numbers);
      call("momentum", [p, g, b], scale, l2, learningRate, momentum, ...shares);
    },
    lion(p, g, m, { scale, shrink, learningRate, betas: [beta1, beta2] }) {
      call("lion", [p, g, m], scale, shrink, learningRate, 1 - beta1, 1 - beta2);
    },
    lerp(average, value, share) {
      call("lerp", [average, value], share);
    },
    add(sum, term) {
      call("add", [sum, term]);
    },
    sumOfSquares: (x) => call("sumOfSquares", [x]),
  };
}
