import type { DiffusionModel, Part } from "../../src/pipelines/index.js";

/** Where the time of a run went, in milliseconds; loading counts for nothing but `loadMs`. */
export interface TimesOfParts {
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
  /** To be told how long a part took to load. */
  readonly onLoaded: (milliseconds: number) => void;
  /** The same model, with its calls timed. */
  around(model: DiffusionModel, onWork: OnWork): DiffusionModel;
}

/** Parts load when they are first called, so each call is timed less what it spent on loading. */
export function watch(now: () => number): Watch {
  const times: TimesOfParts = { loadMs: 0, textMs: 0, callMs: [], vaeMs: 0 };
  const truncated = new Map<string, string>();
  const timed = async <T>(
    act: () => Promise<T>,
    add: (milliseconds: number) => void,
  ): Promise<T> => {
    const [started, loaded] = [now(), times.loadMs];
    const result = await act();
    add(now() - started - (times.loadMs - loaded));
    return result;
  };
  const vae = (milliseconds: number): void => {
    times.vaeMs += milliseconds;
  };
  return {
    times,
    truncated,
    onLoaded: (milliseconds) => {
      times.loadMs += milliseconds;
    },
    around: (model, onWork) => ({
      ...model,
      async encodePrompts(prompts) {
        onWork("text");
        const encode = () => model.encodePrompts(prompts);
        const encoded = await timed(encode, (ms) => {
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
            () => predict(...asked),
            (ms) => void times.callMs.push(ms),
          );
        };
      },
      encodeImage(image, tiled) {
        onWork("encoder");
        return timed(() => model.encodeImage(image, tiled), vae);
      },
      decodeLatents(latents, tiled) {
        onWork("decoder");
        return timed(() => model.decodeLatents(latents, tiled), vae);
      },
    }),
  };
}
