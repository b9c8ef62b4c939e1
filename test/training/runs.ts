import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect } from "vitest";
import { type TrainStep, train } from "../../src/training/train.js";
import { TintypeError } from "../../src/util/errors.js";
import { FIT, fitOptions } from "./fit.js";

/*
 * Runs of a fit in the process of the test.
 */

/** A short run that saves checkpoints and draws samples on its way. */
export const SMALL = {
  steps: 8,
  size: 16,
  checkpoints: { every: 3, keep: 2 },
  samples: { every: 4 },
} as const;

/** Gives paths of runs that are not there yet, in a folder that goes when the file's tests are done. */
export function runFolders(prefix: string): () => string {
  const space = mkdtempSync(join(tmpdir(), prefix));
  afterAll(() => rmSync(space, { recursive: true, force: true }));
  let count = 0;
  return () => join(space, `run-${count++}`);
}

/** Trains a fit until its end, or until an error. */
export function trained(
  run: string,
  config: unknown,
  options: Parameters<typeof fitOptions>[1] = {},
): Promise<TrainStep[]> {
  return stepsOf(train(FIT, config, fitOptions(run, options)));
}

export async function stepsOf(training: AsyncIterable<TrainStep>): Promise<TrainStep[]> {
  const steps: TrainStep[] = [];
  for await (const step of training) steps.push(step);
  return steps;
}

/** The error for users that a promise ends in. */
export async function refusal(promise: Promise<unknown>): Promise<TintypeError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(TintypeError);
  return error as TintypeError;
}
