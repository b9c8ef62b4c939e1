import type { Graph } from "../graph/graph.js";
import type { Engine, LoadOptions, Program } from "../runtime/engine.js";
import type { StoredTensors } from "../tensor/stored.js";
import { PART_TITLES, type Part } from "./parts.js";

/** What one program is loaded from. */
export interface ProgramSource {
  /** What it computes; `loads` where the program computes that and more. */
  readonly graph: Graph;
  readonly loads?: Graph;
  readonly weights: StoredTensors;
  readonly once?: LoadOptions["once"];
  readonly handsOn?: LoadOptions["handsOn"];
  /** The program, if it is loaded already: it goes over to whoever asks. */
  readonly loaded?: () => Promise<Program | undefined>;
  /** What the loaded program is used as, where that is not itself. */
  readonly wrap?: (program: Program) => Program;
}

/** One way to make a part of programs. */
export interface PartForm {
  /** Tells forms of a part apart. */
  readonly form: string;
  /** What a program is loaded from, by its name. */
  readonly source: (name: string) => ProgramSource;
}

/** The programs of a part, each loaded when it is first asked for. */
export type ProgramOf = (name: string) => Promise<Program>;

/** Frees one program of a part before the others. */
export type FreeProgram = (name: string) => Promise<void>;

/** Programs that are loaded when they are needed, kept, and freed. */
export interface ProgramShelf {
  loaded(): readonly Part[];
  /**
   * Begins to load programs of a part that is about to be used, unless one part is kept at a time; what
   * goes wrong is told when it is used.
   */
  prepare(part: Part, form: PartForm, names: readonly string[]): void;
  /**
   * What `act` makes of a part's programs, alone with them: another form of the part is freed before,
   * and nothing is freed meanwhile.
   */
  use<T>(
    part: Part,
    form: PartForm,
    act: (program: ProgramOf, free: FreeProgram) => Promise<T>,
  ): Promise<T>;
  release(part: Part): Promise<void>;
  releaseAll(): Promise<void>;
}

/** How programs are loaded. */
export interface ShelfOptions {
  readonly engine: Engine;
  /** The model's name, for messages. */
  readonly model: string;
  /** Keeps one part in memory at a time. */
  readonly lowMemory?: boolean | undefined;
  /** Told before a program of a part is loaded. */
  readonly onLoad?: ((part: Part) => void) | undefined;
}

/** A part's programs in one form. */
interface Held {
  readonly form: string;
  readonly programs: Map<string, Promise<Program>>;
}

/** An empty shelf. */
export function programShelf({ engine, model, lowMemory, onLoad }: ShelfOptions): ProgramShelf {
  const held = new Map<Part, Held>();
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(act: () => Promise<T>): Promise<T> => {
    const turn = last.then(act);
    last = turn.catch(() => {});
    return turn;
  };
  const load = (part: Part, name: string, { source }: PartForm): Promise<Program> => {
    const of = source(name);
    const { graph, weights, once, handsOn, wrap = (program) => program } = of;
    const title = PART_TITLES[part];
    const options: LoadOptions = {
      label: `${name === part ? title : `${title} (${name})`} of ${model}`,
      // Half precision overflows in the autoencoder of Stable Diffusion.
      fullPrecision: part === "encoder" || part === "decoder",
      // Texts are short: what they need of the weights is there before these could be packed.
      once: once ?? part === "text",
      handsOn,
    };
    const anew = (): Promise<Program> => {
      onLoad?.(part);
      return engine.load(of.loads ?? graph, weights, options);
    };
    const loaded = of.loaded ? of.loaded().then((program) => program ?? anew()) : anew();
    return loaded.then(wrap);
  };
  const free = async (part: Part): Promise<void> => {
    const programs = held.get(part)?.programs.values() ?? [];
    held.delete(part);
    for (const program of programs) {
      const loaded = await program.catch(() => undefined); // whoever asked for it was told
      await loaded?.[Symbol.asyncDispose]();
    }
  };
  const begin = (part: Part, name: string, form: PartForm, { programs }: Held) => {
    const program = programs.get(name) ?? load(part, name, form);
    programs.set(name, program);
    program.catch(() => {
      if (programs.get(name) === program) programs.delete(name); // it may be tried again
    });
    return program;
  };
  const settled = async (part: Part, form: string): Promise<Held> => {
    if (lowMemory) for (const other of [...held.keys()]) if (other !== part) await free(other);
    if (held.get(part)?.form !== form) await free(part);
    const kept = held.get(part) ?? { form, programs: new Map() };
    held.set(part, kept);
    return kept;
  };
  return {
    loaded: () => [...held].filter(([, { programs }]) => programs.size > 0).map(([part]) => part),
    prepare(part, form, names) {
      const kept = held.get(part) ?? { form: form.form, programs: new Map() };
      if (lowMemory || kept.form !== form.form) return; // another form is freed in its turn
      held.set(part, kept);
      for (const name of names) begin(part, name, form, kept);
    },
    use: (part, form, act) =>
      inTurn(async () => {
        const kept = await settled(part, form.form);
        const freeOne: FreeProgram = async (name) => {
          const program = kept.programs.get(name);
          kept.programs.delete(name);
          await (await program)?.[Symbol.asyncDispose]();
        };
        return await act(async (name) => await begin(part, name, form, kept), freeOne);
      }),
    release: (part) => inTurn(() => free(part)),
    releaseAll: () =>
      inTurn(async () => {
        for (const part of [...held.keys()]) await free(part);
      }),
  };
}
