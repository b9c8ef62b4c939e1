import type { CalibrationProgress } from "../../src/pipelines/index.js";

/** What people read while a model is measured before its first picture in int8; plain lines say it once. */
export function calibrationTitle({ done, total }: CalibrationProgress, live: boolean): string {
  const share = live ? `, ${Math.floor((100 * done) / total)} %` : "";
  return `measuring the model for int8${share}`;
}
