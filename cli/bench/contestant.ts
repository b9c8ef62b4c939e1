import type { ContestantName, Samples } from "../../src/benchmark/results.js";
import type { BenchPart } from "./options.js";

/** What a contestant is asked to do in one visit. */
export interface VisitRequest {
  /** Side of the picture, in pixels. */
  readonly side: number;
  /** Pictures at once, of parts; a whole picture is one. */
  readonly batch: number;
  readonly parts: ReadonlySet<BenchPart>;
  /** Of the whole picture. */
  readonly steps: number;
  /** A folder for what is needed meanwhile, on the disk that caches are on. */
  readonly scratch: string;
  readonly signal: AbortSignal;
  /** Told what is being measured. */
  readonly onPart: (part: string) => void;
}

/** What a contestant says of itself before it is measured. */
export interface Introduction {
  /** Versions and devices, for people. */
  readonly about: string;
}

/** A program with one dtype, which is measured in processes of its own. */
export interface Contestant extends ContestantName {
  /**
   * Starts once without being measured, so that caches are filled and what is missing is found early.
   * Throws a TintypeError that says what is wrong.
   */
  prepare(request: VisitRequest): Promise<Introduction>;
  /** One visit of a round. Throws a TintypeError for a program that crashes or refuses. */
  visit(request: VisitRequest): Promise<Samples>;
}

export const PROMPT = "a photograph of an astronaut riding a horse";

/** The sampler of whole pictures: every program has it, and it calls the UNet once a step. */
export const SAMPLER = "euler";
