/*
 * NumPy's SeedSequence: any integers to well mixed 32-bit words. Source: O'Neill 2015, "Developing
 * a seed_seq alternative"; numpy/random/bit_generator.pyx, whose constants these are.
 */

/** A hash whose multiplier moves on with every word. */
function wordHash(start: number, multiplier: number): (word: number) => number {
  let constant = start;
  return (word) => {
    const mixed = word ^ constant;
    constant = Math.imul(constant, multiplier);
    const product = Math.imul(mixed, constant);
    return (product ^ (product >>> 16)) >>> 0;
  };
}

function mix(x: number, y: number): number {
  const sum = (Math.imul(x, 0xca01f9dd) - Math.imul(y, 0x4973f715)) | 0;
  return (sum ^ (sum >>> 16)) >>> 0;
}

/** The 32-bit words of a non-negative integer, lowest first; at least one. */
function wordsOf(value: bigint): number[] {
  const words = [];
  for (let rest = value; rest > 0n || words.length === 0; rest >>= 32n) {
    words.push(Number(rest & 0xffffffffn));
  }
  return words;
}

/**
 * `numpy.random.SeedSequence(entropy, spawn_key=spawnKey,
 * pool_size=poolSize).generate_state(count)`: `count` unsigned 32-bit words. Child k of a sequence
 * has the parent's spawn key with k appended.
 */
export function seedSequence(
  entropy: bigint,
  spawnKey: readonly bigint[],
  count: number,
  poolSize = 4,
): Uint32Array {
  const words = wordsOf(entropy);
  if (spawnKey.length > 0) while (words.length < poolSize) words.push(0);
  words.push(...spawnKey.flatMap(wordsOf));

  const hash = wordHash(0x43b0d7e5, 0x931e8875);
  const pool = Array.from({ length: poolSize }, (_, i) => hash(words[i] ?? 0));
  for (let from = 0; from < poolSize; from++) {
    for (let to = 0; to < poolSize; to++) {
      if (from !== to) pool[to] = mix(pool[to]!, hash(pool[from]!));
    }
  }
  for (const word of words.slice(poolSize)) {
    for (let to = 0; to < poolSize; to++) pool[to] = mix(pool[to]!, hash(word));
  }
  const output = wordHash(0x8b51f9dd, 0x58f38ded);
  return Uint32Array.from({ length: count }, (_, i) => output(pool[i % poolSize]!));
}
