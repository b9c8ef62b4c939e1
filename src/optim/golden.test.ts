import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { derivedNoise, derivedWeight } from "../../test/golden-weights.js";
import { sizeOf } from "../tensor/tensor.js";
import {
  type EmaSpec,
  firstStep,
  type Kernels,
  learningRateAt,
  type OptimizerSpec,
  type Parameter,
  PLAIN_KERNELS,
  type ScheduleSpec,
  type Transform,
  takeMemory,
  updateChain,
} from "./index.js";

type Part = Record<string, string>;

interface Case {
  readonly name: string;
  readonly spec: OptimizerSpec;
  readonly schedule: ScheduleSpec;
  readonly clip?: number;
  readonly ema?: EmaSpec;
  /** Gradients that are averaged in a step. */
  readonly micro: number;
  /** Times the gradients. */
  readonly size: number;
  readonly groups: Record<string, { rate?: number; decay?: boolean }>;
  readonly norms: readonly number[];
  /** Parameters, averages and state after so many steps. */
  readonly after: Record<string, Record<string, Part>>;
}

interface Golden {
  readonly shapes: Record<string, number[]>;
  readonly cases: readonly Case[];
  readonly schedules: readonly { schedule: ScheduleSpec; rates: number[] }[];
}

const GOLDEN: Golden = JSON.parse(
  readFileSync(new URL("../../test/golden/optim/optim.json", import.meta.url), "utf8"),
);
const names = Object.keys(GOLDEN.shapes);

const decoded = (base64: string): Float32Array =>
  new Float32Array(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)).buffer);

/** |a - b| / |b|, Euclidean; 0 where both are zero. */
function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [difference, norm] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    norm += b[i]! ** 2;
  }
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  return difference === 0 ? 0 : Math.sqrt(difference / norm);
}

type Trained = Parameter & { gathered: number };

/** The parameters of a case before its first step, in arrays that `kernels` work on. */
function opened(
  c: Case,
  place: "in WebAssembly" | "in plain arrays",
): { parameters: Trained[]; chain: Transform; kernels: Kernels } {
  const { parts } = updateChain({ ...c, optimizer: c.spec }, PLAIN_KERNELS);
  const lengths = names.map((name) => {
    const size = sizeOf(GOLDEN.shapes[name]!);
    return Array.from({ length: 3 + parts.length }, () => size);
  });
  const memory =
    place === "in WebAssembly"
      ? takeMemory(lengths, 4096) // in several memories
      : {
          groups: lengths.map((group) => group.map((n) => new Float32Array(n))),
          kernels: PLAIN_KERNELS,
        };
  const chain = updateChain({ ...c, optimizer: c.spec }, memory.kernels);
  const parameters = names.map((name, i): Trained => {
    const [value, gradient, addend, ...kept] = memory.groups[i]!;
    const shape = GOLDEN.shapes[name]!;
    value!.set(derivedWeight("optim", name, shape).data);
    const { rate = 1, decay = shape.length > 1 } = c.groups[name] ?? {};
    const state = Object.fromEntries(parts.map((part, j) => [part, kept[j]!]));
    const own = { ...state, addend: addend! };
    return { name, value: value!, gradient: gradient!, gathered: 0, rate, decay, state: own };
  });
  for (const p of parameters) chain.init(p);
  return { parameters, chain, kernels: memory.kernels };
}

/** Adds the gradients of one step together. */
function gather(c: Case, step: number, parameters: readonly Trained[], kernels: Kernels): void {
  for (const p of parameters) {
    for (p.gathered = 0; p.gathered < c.micro; p.gathered++) {
      const noise = derivedNoise(`optim/${step}/${p.gathered}/${p.name}`, GOLDEN.shapes[p.name]!);
      const target = p.gathered === 0 ? p.gradient : p.state.addend!;
      target.set(noise.data.map((x) => x * Math.fround(c.size)));
      if (p.gathered > 0) kernels.add(p.gradient, target);
    }
  }
}

describe.each(["in plain arrays", "in WebAssembly"] as const)("like torch.optim, %s:", (place) => {
  test.each(GOLDEN.cases)("$name", (c) => {
    const { parameters, chain, kernels } = opened(c, place);
    for (const [step, norm] of c.norms.entries()) {
      gather(c, step, parameters, kernels);
      const done = chain.update(parameters, firstStep(step, learningRateAt(c.schedule, step)));
      expect(Math.abs(done.gradientNorm / norm - 1)).toBeLessThan(1e-6);
      const expected = c.after[step + 1];
      for (const [part, arrays] of Object.entries(expected ?? {})) {
        for (const { name, value, state } of parameters) {
          const got = part === "params" ? value : state[part]!;
          const error = relativeError(got, decoded(arrays[name]!));
          expect(error, `${part} of ${name} after step ${step}`).toBeLessThan(1e-6);
        }
      }
    }
  });
});

test.each(GOLDEN.cases)("the same bits in WebAssembly as in plain arrays: $name", (c) => {
  const both = (["in plain arrays", "in WebAssembly"] as const).map((place) => {
    const { parameters, chain, kernels } = opened(c, place);
    const norms = c.norms.map((_, step) => {
      gather(c, step, parameters, kernels);
      return chain.update(parameters, firstStep(step, learningRateAt(c.schedule, step)))
        .gradientNorm;
    });
    const arrays = parameters.map(({ value, state }) => [value, ...Object.values(state)]);
    return { norms, arrays };
  });
  expect(both[1]).toEqual(both[0]);
});

test.each(GOLDEN.schedules)("the rates of diffusers: $schedule", ({ schedule, rates }) => {
  const last = schedule.kind === "constant" ? rates.length - 1 : schedule.steps;
  for (let step = 0; step <= last; step++) {
    expect(Math.abs(learningRateAt(schedule, step) - rates[step]!)).toBeLessThan(1e-12);
  }
  if (schedule.kind !== "constant") expect(learningRateAt(schedule, last + 9)).toBe(0);
});
