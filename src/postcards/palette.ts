import type { Rgb } from "./colour.js";
import type { Colour, Time } from "./world.js";

/** The look of a time of day. */
export interface Light {
  /** The sky from the zenith to the horizon. */
  readonly sky: readonly [Rgb, Rgb, Rgb];
  /** What distance fades into. */
  readonly haze: Rgb;
  /** Times the colours of ground, water and far things. */
  readonly ambient: Rgb;
  /** Times the colours of things: milder, so that red stays red at night. */
  readonly things: Rgb;
  /** The lit and the shaded part of a cloud. */
  readonly cloud: readonly [Rgb, Rgb];
  /** The disc of the sun or moon, and its glow. */
  readonly disc: Rgb;
  readonly glow: Rgb;
  /** How far windows shine, 0 to 1. */
  readonly lamps: number;
}

export const LIGHTS: Readonly<Record<Time, Light>> = {
  dawn: {
    sky: [
      [138, 168, 222],
      [226, 196, 220],
      [255, 222, 190],
    ],
    haze: [244, 210, 206],
    ambient: [1.0, 0.93, 0.95],
    things: [1.0, 0.96, 0.97],
    cloud: [
      [255, 234, 228],
      [214, 184, 206],
    ],
    disc: [255, 248, 216],
    glow: [255, 236, 190],
    lamps: 0.15,
  },
  day: {
    sky: [
      [66, 138, 224],
      [128, 188, 242],
      [208, 234, 250],
    ],
    haze: [196, 222, 240],
    ambient: [1.02, 1.02, 1.0],
    things: [1.02, 1.02, 1.02],
    cloud: [
      [255, 255, 255],
      [196, 210, 228],
    ],
    disc: [255, 246, 190],
    glow: [255, 250, 214],
    lamps: 0,
  },
  sunset: {
    sky: [
      [78, 62, 132],
      [214, 92, 104],
      [255, 176, 84],
    ],
    haze: [232, 134, 96],
    ambient: [0.88, 0.68, 0.66],
    things: [0.97, 0.86, 0.84],
    cloud: [
      [255, 172, 122],
      [150, 82, 122],
    ],
    disc: [255, 226, 130],
    glow: [255, 160, 70],
    lamps: 0.6,
  },
  night: {
    sky: [
      [10, 16, 46],
      [24, 38, 86],
      [58, 76, 130],
    ],
    haze: [54, 70, 118],
    ambient: [0.36, 0.42, 0.58],
    things: [0.74, 0.75, 0.84],
    cloud: [
      [98, 110, 150],
      [48, 58, 98],
    ],
    disc: [250, 246, 224],
    glow: [190, 204, 240],
    lamps: 1,
  },
};

/** Paint by its name, in white light. */
export const PAINTS: Readonly<Record<Colour, Rgb>> = {
  red: [208, 34, 38],
  orange: [246, 134, 22],
  yellow: [252, 218, 44],
  green: [28, 150, 72],
  blue: [36, 92, 214],
  purple: [124, 52, 176],
  pink: [250, 142, 190],
  white: [248, 247, 243],
};
