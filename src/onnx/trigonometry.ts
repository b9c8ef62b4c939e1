import type { Builder } from "./builder.js";
import type { Rule } from "./rules.js";

/*
 * sin and cos in small steps. WGSL promises 2^-11 within [-pi, pi] and nothing beyond, and a
 * timestep embedding takes the sine of 999.
 */

/** pi in two parts, the first of few bits: k times it is exact for every k that can occur. */
const PI_HIGH = 3.140625;
const PI_LOW = Math.PI - PI_HIGH;

/** Taylor's coefficients of sin(r) / r in r^2, from the highest: good to 6e-8 for |r| <= pi/2. */
const SINE = [-1 / 39916800, 1 / 362880, -1 / 5040, 1 / 120, -1 / 6, 1];

/** sin(x), or cos(x) as a sine about the middle of its half wave. */
function wave(b: Builder, x: string, half: number): string {
  const constant = (c: number): string => b.floats([], [c]);
  const add = (p: string, c: number): string => b.node("Add", [p, constant(c)]);
  const mul = (p: string, c: number): string => b.node("Mul", [p, constant(c)]);
  // The half wave that x lies in: k * pi (+ pi / 2 for the cosine) is its middle.
  const k = b.node("Floor", [add(mul(x, 1 / Math.PI), 0.5 - half)]);
  const middle = half === 0 ? k : add(k, half);
  const high = b.node("Sub", [x, mul(middle, PI_HIGH)]);
  const r = b.node("Sub", [high, mul(middle, PI_LOW)]);
  const square = b.node("Mul", [r, r]);
  const [highest, next, ...rest] = SINE as [number, number, ...number[]];
  const start = add(mul(square, highest), next);
  const series = rest.reduce((p, c) => add(b.node("Mul", [p, square]), c), start);
  const sine = b.node("Mul", [r, series]);
  // 1 for even k and -1 for odd k; cos falls where sin rises.
  const odd = b.node("Sub", [k, mul(b.node("Floor", [mul(k, 0.5)]), 2)]);
  const sign = half === 0 ? add(mul(odd, -2), 1) : add(mul(odd, 2), -1);
  return b.node("Mul", [sine, sign]);
}

/** sin(x), good to float32's last bits for |x| < 10^4. */
export const sine: Rule<"sin"> = (b, [x]) => wave(b, x!, 0);

/** cos(x), good to float32's last bits for |x| < 10^4. */
export const cosine: Rule<"cos"> = (b, [x]) => wave(b, x!, 0.5);
