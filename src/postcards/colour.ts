/** Red, green and blue, 0 to 255. */
export type Rgb = readonly [red: number, green: number, blue: number];

/** A CSS colour. alpha in [0, 1]. */
export function css([r, g, b]: Rgb, alpha = 1): string {
  return `rgba(${Math.round(r)},${Math.round(g)},${Math.round(b)},${alpha})`;
}

/** From a (t = 0) to b (t = 1). */
export function mix(a: Rgb, b: Rgb, t: number): Rgb {
  return [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t];
}

/** A surface under a light: channel by channel, the light's 1 leaves it as it is. */
export function under(surface: Rgb, light: Rgb): Rgb {
  return [
    Math.min(255, surface[0] * light[0]),
    Math.min(255, surface[1] * light[1]),
    Math.min(255, surface[2] * light[2]),
  ];
}
