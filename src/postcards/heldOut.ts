import type { Colour, Count, Ground, Group, Kind, Scene, Time } from "./world.js";

/** Attributes that one group and its scene have together. */
export interface Combination {
  readonly kind: Kind;
  readonly colour?: Colour;
  readonly count?: Count;
  readonly ground?: Ground;
  readonly time?: Time;
}

/**
 * What no training scene contains: a model meets each attribute in training, but never these of
 * them together. The list was made before any model was trained.
 */
export const HELD_OUT: readonly Combination[] = [
  // Colours that a kind never has.
  { kind: "car", colour: "pink" },
  { kind: "sailboat", colour: "green" },
  // Colours that a kind never has at a time of day.
  { kind: "house", colour: "blue", time: "night" },
  { kind: "house", colour: "yellow", time: "dawn" },
  { kind: "tent", colour: "purple", time: "night" },
  { kind: "balloon", colour: "orange", time: "dawn" },
  { kind: "tower", colour: "white", time: "sunset" },
  { kind: "lighthouse", colour: "red", time: "day" },
  // A ground where a kind never is, though it might be.
  { kind: "house", ground: "desert" },
  // Counts that a kind never has at a time of day.
  { kind: "pine", count: 3, time: "night" },
  { kind: "palm", count: 2, time: "sunset" },
  { kind: "balloon", count: 3, time: "sunset" },
  { kind: "sailboat", count: 3, time: "night" },
];

/** Whether a scene and one of its groups have every attribute of a combination. */
export function hasCombination(scene: Scene, group: Group, wanted: Combination): boolean {
  return (
    group.kind === wanted.kind &&
    (wanted.colour ?? group.colour) === group.colour &&
    (wanted.count ?? group.count) === group.count &&
    (wanted.ground ?? scene.ground) === scene.ground &&
    (wanted.time ?? scene.time) === scene.time
  );
}

/** Whether a scene has a combination of `HELD_OUT`. */
export function isHeldOut(scene: Scene): boolean {
  return scene.groups.some((group) => HELD_OUT.some((c) => hasCombination(scene, group, c)));
}
