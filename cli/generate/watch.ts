import type { DiffusionModel, Part } from "../../src/pipelines/index.js";

/** Where the time of a run went, in milliseconds. */
export interface TimesOfParts {
  /** What was spent on loading while nothing else was done. */
  loadMs: number;
  textMs: number;
  /** Each call of the UNet. */
  readonly callMs: number[];
  vaeMs: number;
}

/** Told when a part is called. */
export type OnWork = (part: Part) => void;

/** A stopwatch for the calls of one model. */
export interface Watch {
  readonly times: TimesOfParts;
  /** For each text that was too long, the end that was cut. */
  readonly truncated: Map<string, string>;
  /** To be told that a part has just been loaded, and how long it took. */
  readonly onLoaded: (part: Part, milliseconds: number) => void;
  /** The same model, with its calls timed. */
  around(model: DiffusionModel, onWork: OnWork): DiffusionModel;
}

/** A part may load when it is first called, so each call is timed less what it waited for its part. */
export function watch(now: () => number): Watch {
  const times: TimesOfParts = { loadMs: 0, textMs: 0, callMs: [], vaeMs: 0 };
  const truncated = new Map<string, string>();
  const loads: { readonly part: Part; readonly from: number; readonly to: number }[] = [];
  const timed = async <T>(
    part: Part,
    act: () => Promise<T>,
    add: (milliseconds: number) => void,
  ): Promise<T> => {
    const started = now();
    const result = await act();
    const waited = covered(
      loads.filter((load) => load.part === part && load.to > started),
      started,
    );
    times.loadMs += waited;
    add(now() - started - waited);
    return result;
  };
  const vae = (milliseconds: number): void => {
    times.vaeMs += milliseconds;
  };
  return {
    times,
    truncated,
    onLoaded: (part, milliseconds) => {
      loads.push({ part, from: now() - milliseconds, to: now() });
    },
    around: (model, onWork) => ({
      ...model,
      async encodePrompts(prompts) {
        onWork("text");
        const encode = () => model.encodePrompts(prompts);
        const encoded = await timed("text", encode, (ms) => {
          times.textMs += ms;
        });
        prompts.forEach((prompt, k) => {
          const end = encoded.truncated[k];
          if (end !== undefined) truncated.set(prompt, end);
        });
        return encoded;
      },
      predictor(shortcuts) {
        const predict = model.predictor(shortcuts);
        return (...asked) => {
          onWork("unet");
          return timed(
            "unet",
            () => predict(...asked),
            (ms) => void times.callMs.push(ms),
          );
        };
      },
      encodeImage(image, tiled) {
        onWork("encoder");
        return timed("encoder", () => model.encodeImage(image, tiled), vae);
      },
      decodeLatents(latents, tiled) {
        onWork("decoder");
        return timed("decoder", () => model.decodeLatents(latents, tiled), vae);
      },
    }),
  };
}

/** How much of the time since `start` at least one of these took. */
function covered(
  spans: readonly { readonly from: number; readonly to: number }[],
  start: number,
): number {
  let [sum, end] = [0, start];
  for (const { from, to } of spans.toSorted((a, b) => a.from - b.from)) {
    sum += Math.max(0, to - Math.max(from, end));
    end = Math.max(end, to);
  }
  return sum;
}
