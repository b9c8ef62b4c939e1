import { DEEP_CACHE_POWER, type GenerationRequest } from "../src/pipelines/index.js";

/** One way to do less work, as the command line and as the library say it. */
export interface Setting {
  readonly flags: string;
  readonly request: Pick<
    GenerationRequest,
    "steps" | "guidanceSteps" | "deepCache" | "mergeTokens"
  >;
}

/** Kinds of settings; fewer steps stand beside shortcuts as what anyone can do without them. */
export const KINDS = ["fewer", "guidance", "cache", "merge", "together"] as const;
export type Kind = (typeof KINDS)[number];

/** The settings of each kind, for pictures of so many steps. */
export function settingsOf(steps: number): Readonly<Record<Kind, readonly Setting[]>> {
  const guided = (from: number, to: number): Setting => {
    const [a, b] = [Math.round(from * steps), Math.round(to * steps)];
    const range = to < 1 ? { from: a, to: b } : { from: a, to: Number.POSITIVE_INFINITY };
    return {
      flags: `--guidance-steps ${from > 0 ? a : ""}:${to < 1 ? b : ""}`,
      request: { guidanceSteps: range },
    };
  };
  const cached = (every: number, branch = 0, power = DEEP_CACHE_POWER): Setting => ({
    flags: [
      `--deep-cache ${every}`,
      ...(branch > 0 ? [`--deep-cache-branch ${branch}`] : []),
      ...(power !== DEEP_CACHE_POWER ? [`--deep-cache-power ${power}`] : []),
    ].join(" "),
    request: { deepCache: { every, branch, power } },
  });
  const merged = (mergeTokens: number): Setting => ({
    flags: `--merge-tokens ${mergeTokens}`,
    request: { mergeTokens },
  });
  const fewer = [0.5, 0.6, 0.75].map((share): Setting => {
    const few = Math.round(share * steps);
    return { flags: `--steps ${few}`, request: { steps: few } };
  });
  return {
    fewer,
    guidance: [guided(0, 0.75), guided(0, 0.5), guided(0.1, 0.75), guided(0.25, 1)],
    cache: [
      ...[cached(2, 0, 1), cached(3, 0, 1), cached(5, 0, 1)],
      ...[cached(2), cached(3), cached(5), cached(3, 2), cached(5, 0, 1.8)],
    ],
    merge: [merged(2), merged(4), merged(8)],
    together: [
      together(cached(2), guided(0, 0.75)),
      together(cached(3), guided(0, 0.75)),
      together(cached(3), merged(4)),
    ],
  };
}

function together(...settings: readonly Setting[]): Setting {
  return {
    flags: settings.map(({ flags }) => flags).join(" "),
    request: Object.assign({}, ...settings.map(({ request }) => request)),
  };
}
