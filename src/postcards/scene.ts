import { invariant } from "../util/errors.js";
import { isHeldOut } from "./heldOut.js";
import { type Random, seededRandom } from "./random.js";
import {
  COLOURS,
  type Count,
  GROUNDS,
  type Group,
  KIND_FACTS,
  type Kind,
  kindsOn,
  MOONS,
  type Scene,
  SIDES,
  type Side,
  STYLES,
  TIMES,
  weathersOf,
} from "./world.js";

/** How many things two groups may have, so that each is large enough to see. */
const PAIRS = [
  [1, 1],
  [1, 2],
  [2, 1],
  [2, 2],
  [1, 3],
  [3, 1],
] as const satisfies readonly (readonly [Count, Count])[];

/** Kinds of few grounds are drawn more often there, so that every kind is common in the world. */
function drawKind(random: Random, kinds: readonly Kind[]): Kind {
  const weights = kinds.map((kind) => 1 / KIND_FACTS[kind].grounds.length ** 0.8);
  const total = weights.reduce((a, b) => a + b);
  let rest = random.next() * total;
  for (const [i, weight] of weights.entries()) {
    rest -= weight;
    if (rest < 0) return kinds[i]!;
  }
  return kinds.at(-1)!;
}

function drawGroup(random: Random, kind: Kind, count: Count, side: Side): Group {
  return {
    kind,
    colour: KIND_FACTS[kind].coloured ? random.pick(COLOURS) : undefined,
    count,
    side,
  };
}

function drawGroups(random: Random, kinds: readonly Kind[]): Scene["groups"] {
  const kind = drawKind(random, kinds);
  if (random.chance(0.45)) {
    const count = random.pick([1, 2, 3] as const);
    // Three in a row need the width of the picture.
    return [drawGroup(random, kind, count, count === 3 ? "middle" : random.pick(SIDES))];
  }
  const other = drawKind(
    random,
    kinds.filter((k) => k !== kind),
  );
  const [left, right] = random.pick(PAIRS);
  return [drawGroup(random, kind, left, "left"), drawGroup(random, other, right, "right")];
}

/** A scene from the whole world, held-out combinations included: every value of it is common. */
export function drawScene(random: Random, seed: number): Scene {
  const time = random.pick(TIMES);
  const ground = random.pick(GROUNDS);
  return {
    seed,
    style: STYLES[0],
    time,
    weather: random.pick(weathersOf(time)),
    moon: time === "night" ? random.pick(MOONS) : undefined,
    ground,
    groups: drawGroups(random, kindsOn(ground)),
  };
}

/** Draws until a scene is wanted; some 1 in 10 scenes are held out, so this ends soon. */
function wantedScene(seed: number, wanted: (scene: Scene) => boolean): Scene {
  invariant(
    Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32,
    `postcards: a seed is an integer in [0, 2^32), got ${seed}`,
  );
  const random = seededRandom(seed, "scene");
  for (;;) {
    const scene = drawScene(random, seed);
    if (wanted(scene)) return scene;
  }
}

/** The scene of a seed, an integer in [0, 2^32), held out or not. */
export function sceneOf(seed: number): Scene {
  return wantedScene(seed, () => true);
}

/** The scene of a seed that a model may train on: never a held-out combination. */
export function trainingScene(seed: number): Scene {
  return wantedScene(seed, (scene) => !isHeldOut(scene));
}

/** The scene of a seed with a combination that no training scene has. */
export function heldOutScene(seed: number): Scene {
  return wantedScene(seed, isHeldOut);
}
