/** The words of a Philox counter or of its output, unsigned, lowest first. */
export type PhiloxWords = [number, number, number, number];

const [M0, M1] = [0xd2511f53, 0xcd9e8d57];
const [W0, W1] = [0x9e3779b9, 0xbb67ae85];

/**
 * The high word of a * b, whose low word is known: rounding rids the float64 product of its error.
 */
function highWord(a: number, b: number, low: number): number {
  return Math.round((a * b - low) * 2 ** -32);
}

/**
 * Philox4x32-10, in place: 128 bits of counter become 128 random bits under a key of 64 bits.
 * Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
 */
export function philox4x32(words: PhiloxWords, key: readonly [number, number]): void {
  let [a, b, c, d] = words;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const lowA = Math.imul(a, M0) >>> 0;
    const lowC = Math.imul(c, M1) >>> 0;
    const highA = highWord(a, M0, lowA);
    const highC = highWord(c, M1, lowC);
    a = (highC ^ b ^ k0) >>> 0;
    b = lowC;
    c = (highA ^ d ^ k1) >>> 0;
    d = lowA;
    k0 = (k0 + W0) | 0;
    k1 = (k1 + W1) | 0;
  }
  words[0] = a;
  words[1] = b;
  words[2] = c;
  words[3] = d;
}
