import type { Program } from "../runtime/engine.js";
import type { Part } from "./parts.js";

/** Programs that outlive the model that loaded them, until another one takes them. */
export interface Handover {
  /** The program of this name, which is kept when it is freed after `open`. */
  lent(key: ProgramKey, program: Program): Program;
  /** From now on programs are kept. */
  open(): void;
  /** The program of this name, if it was kept; those of other forms of its part are freed. */
  take(key: ProgramKey): Promise<Program | undefined>;
}

/** What tells programs of a model apart. */
export interface ProgramKey {
  readonly part: Part;
  readonly form: string;
  readonly name: string;
}

/** Nothing, and closed. */
export function handover(): Handover {
  const kept: { readonly key: ProgramKey; readonly program: Program }[] = [];
  let isOpen = false;
  const remove = (wanted: (key: ProgramKey) => boolean): readonly Program[] => {
    const found = kept.filter(({ key }) => wanted(key));
    for (const one of found) kept.splice(kept.indexOf(one), 1);
    return found.map(({ program }) => program);
  };
  return {
    lent: (key, program) => ({
      ...program,
      async [Symbol.asyncDispose]() {
        if (isOpen) kept.push({ key, program });
        else await program[Symbol.asyncDispose]();
      },
    }),
    open() {
      isOpen = true;
    },
    async take({ part, form, name }) {
      const others = remove((key) => key.part === part && key.form !== form);
      for (const other of others) await other[Symbol.asyncDispose]();
      return remove((key) => key.part === part && key.name === name)[0];
    },
  };
}
