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
  /** How much of the haze lies on the ground close by, 0 to 1. */
  readonly mist: number;
  /** Deep water. */
  readonly water: Rgb;
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
    mist: 0.06,
    water: [112, 138, 204],
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
    mist: 0,
    water: [36, 126, 196],
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
    ambient: [0.92, 0.7, 0.66],
    things: [0.98, 0.89, 0.86],
    mist: 0.04,
    water: [104, 56, 116],
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
    ambient: [0.5, 0.49, 0.61],
    things: [0.86, 0.85, 0.93],
    mist: 0.2,
    water: [20, 44, 104],
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
  blue: [38, 98, 222],
  purple: [136, 60, 192],
  pink: [250, 142, 190],
  white: [248, 247, 243],
};
