import type { Said, SaidGroup } from "../postcards/caption.js";
import { COLOURS, KINDS, type Kind, type Scene, SIDES } from "../postcards/world.js";
import {
  type Answers,
  SCENE_QUESTION_NAMES,
  SCENE_QUESTIONS,
  type SceneQuestion,
} from "./questions.js";

/** What a prompt can say, as accuracies are told apart. */
export const ATTRIBUTES = [
  "object",
  "colour",
  "count",
  "position",
  "time",
  "weather",
  "moon",
  "ground",
] as const;
export type Attribute = (typeof ATTRIBUTES)[number];

/** One thing that a prompt says, held against what is seen. */
export interface Check {
  readonly attribute: Attribute;
  /** "2 houses", "red house", "house left of pine". */
  readonly said: string;
  readonly seen: string;
  readonly right: boolean;
}

/**
 * Everything that `said` claims, held against what a judge saw. A thing that is not there has no
 * right colour, count or position; a thing that nobody asked for is no mistake.
 */
export function checksOf(said: Said, seen: Answers): readonly Check[] {
  return [
    ...said.groups.flatMap((group) => groupChecks(group, seen)),
    ...positionChecks(said.groups, seen),
    ...SCENE_QUESTION_NAMES.flatMap((question) => sceneCheck(question, said[question], seen)),
  ];
}

function groupChecks({ kind, count, colour }: SaidGroup, { kinds }: Answers): Check[] {
  const found = kinds[kind];
  const isThere = found.count > 0;
  const checks: Check[] = [
    { attribute: "object", said: kind, seen: isThere ? kind : `no ${kind}`, right: isThere },
    {
      attribute: "count",
      said: `${count} ${kind}`,
      seen: `${found.count} ${kind}`,
      right: found.count === count,
    },
  ];
  if (colour === undefined) return checks;
  const seen = isThere ? COLOURS[found.colour]! : "no";
  const right = seen === colour;
  return [
    ...checks,
    { attribute: "colour", said: `${colour} ${kind}`, seen: `${seen} ${kind}`, right },
  ];
}

/** One thing is on a side of the picture; of two, one is left of the other. */
function positionChecks(groups: readonly SaidGroup[], { kinds }: Answers): Check[] {
  const placed = groups.filter(({ side }) => side !== undefined);
  const sideOf = (kind: Kind): string =>
    kinds[kind].count > 0 ? SIDES[kinds[kind].side]! : "nowhere";
  const [first, second] = placed;
  if (first === undefined) return [];
  const attribute = "position";
  if (second === undefined) {
    const { kind, side } = first;
    const seen = sideOf(kind);
    return [{ attribute, said: `${kind} ${side}`, seen: `${kind} ${seen}`, right: seen === side }];
  }
  const [a, b] = [first.kind, second.kind];
  const areThere = kinds[a].count > 0 && kinds[b].count > 0;
  return [
    {
      attribute,
      said: `${a} left of ${b}`,
      seen: `${a} ${sideOf(a)}, ${b} ${sideOf(b)}`,
      right: areThere && kinds[a].side < kinds[b].side,
    },
  ];
}

function sceneCheck(
  question: SceneQuestion,
  said: string | undefined,
  { scene }: Answers,
): Check[] {
  if (said === undefined) return [];
  const answer = SCENE_QUESTIONS[question][scene[question]]!;
  const seen = answer === "none" ? "no" : answer;
  const what = question === "moon" ? " moon" : "";
  return [{ attribute: question, said: said + what, seen: seen + what, right: said === seen }];
}

/** All that can be said of a scene. */
export function everythingSaid({ time, weather, moon, ground, groups }: Scene): Said {
  return { time, weather, moon, ground, groups };
}

/** Shares in [0,1] by attribute, of those that were said; `all` of pictures with nothing wrong. */
export type Accuracy = Readonly<Partial<Record<Attribute, number>>> & { readonly all: number };

/** What share of all checks of an attribute, and of whole pictures, is right. */
export function accuracyOf(pictures: readonly (readonly Check[])[]): Accuracy {
  const share = (flags: readonly boolean[]): number =>
    flags.filter(Boolean).length / Math.max(1, flags.length);
  const checks = pictures.flat();
  const rows = ATTRIBUTES.flatMap((attribute) => {
    const some = checks.filter((check) => check.attribute === attribute);
    return some.length === 0 ? [] : [[attribute, share(some.map(({ right }) => right))] as const];
  });
  const whole = pictures.map((checksOfOne) => checksOfOne.every(({ right }) => right));
  return { ...Object.fromEntries(rows), all: share(whole) };
}

/**
 * What a judge says of a painted picture, held against all there is: everything said, and that no
 * other kind is there. `object` is one check: exactly the right kinds.
 */
export function paintedChecks(scene: Scene, seen: Answers): readonly Check[] {
  const there = KINDS.filter((kind) => seen.kinds[kind].count > 0);
  const painted = KINDS.filter((kind) => scene.groups.some((group) => group.kind === kind));
  const [said, found] = [painted.join(", "), there.join(", ")];
  const kinds: Check = { attribute: "object", said, seen: found, right: said === found };
  const rest = checksOf(everythingSaid(scene), seen);
  return [kinds, ...rest.filter(({ attribute }) => attribute !== "object")];
}
