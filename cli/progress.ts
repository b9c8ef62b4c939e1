import type { DownloadProgress } from "../src/hub/index.js";
import { formatBytes } from "../src/platform/formatBytes.js";
import { formatDuration, formatPace } from "./format.js";
import type { Terminal } from "./terminal.js";

/** What a command tells of its progress: one live line on a screen, plain lines elsewhere. */
export interface Progress extends Disposable {
  download(progress: DownloadProgress): void;
  /** Something of unknown length has begun, "loading the UNet". */
  busy(title: string): void;
  /** Batch `n` of `count` begins. */
  batch(n: number, count: number): void;
  /** Steps are being taken; the clock of the first step runs from now. */
  sampling(): void;
  /** `done` of `total` steps are taken. */
  step(done: number, total: number): void;
  /** `done` of `total` tiles are done of what `title` says, "decoding". */
  tile(title: string, done: number, total: number): void;
  /** A training goes on. */
  training(progress: TrainingProgress): void;
  /** Nothing is going on. */
  idle(): void;
  /** A sentence that stays on the screen. */
  notice(message: string): void;
}

/** How far a training is. */
export interface TrainingProgress {
  readonly step: number;
  readonly steps: number;
  readonly loss: number;
  readonly samplesPerSecond: number;
  /** Milliseconds that the rest will take. */
  readonly left: number;
}

/** What is going on now. Times are milliseconds of the terminal's clock. */
export type View =
  | { readonly kind: "idle" }
  | { readonly kind: "busy"; readonly title: string; readonly since: number }
  | {
      readonly kind: "download";
      readonly at: DownloadProgress;
      readonly since: number;
      /** Bytes that were done then. */
      readonly from: number;
    }
  | {
      readonly kind: "steps";
      readonly title: string;
      readonly done: number;
      /** Unknown before the first step. */
      readonly total: number | undefined;
      /** Milliseconds that the steps took, loading left out. */
      readonly spent: number;
      /** When the step under way began. */
      readonly since: number;
    }
  | { readonly kind: "training"; readonly at: TrainingProgress };

const REDRAW_MS = 100;
const BAR_WIDTH = 24;

/** Plain lines of one kind come no faster than this. */
const QUIET_MS = 2000;
/** Those of a training, which takes hours. */
const QUIET_TRAINING_MS = 30_000;

/** Progress on a terminal; `live` draws one line anew, otherwise there are plain lines. */
export function progressOn(
  terminal: Terminal,
  { live = terminal.live }: { readonly live?: boolean } = {},
): Progress {
  return live ? liveProgress(terminal) : plainProgress(terminal);
}

/** When what is told of now began. */
function begunAt(view: View, time: number): number {
  return view.kind === "busy" || view.kind === "steps" ? view.since : time;
}

/** The view after each thing that a command tells. */
function viewer(now: () => number, show: (view: View) => void) {
  let view: View = { kind: "idle" };
  let title = "step";
  const set = (next: View): void => {
    view = next;
    show(view);
  };
  const advance = (title: string, done: number, total: number): void => {
    const time = now();
    const before =
      view.kind === "steps" && view.title === title && view.done < done ? view.spent : 0;
    const spent = before + time - begunAt(view, time);
    set({ kind: "steps", title, done, total, spent, since: time });
  };
  return {
    now: () => view,
    download(at: DownloadProgress) {
      const begun = view.kind === "download" ? view : { since: now(), from: at.done };
      set({ kind: "download", at, since: begun.since, from: begun.from });
    },
    idle: () => set({ kind: "idle" }),
    busy: (title: string) => set({ kind: "busy", title, since: now() }),
    training: (at: TrainingProgress) => set({ kind: "training", at }),
    batch(n: number, count: number) {
      title = `batch ${n}/${count}, step`;
    },
    sampling() {
      if (view.kind === "steps" && view.title === title) return;
      set({ kind: "steps", title, done: 0, total: undefined, spent: 0, since: now() });
    },
    step: (done: number, total: number) => advance(title, done, total),
    tile: (what: string, done: number, total: number) => advance(`${what}, tile`, done, total),
  };
}

const CLEAR = "\r\u001b[2K";

function liveProgress({ err, now, columns, unicode }: Terminal): Progress {
  let shown = "";
  const draw = (view: View): void => {
    const line = lineOf(view, now(), columns() - 1, unicode);
    if (line === shown) return;
    err(`${CLEAR}${line}`);
    shown = line;
  };
  const { now: current, ...tell } = viewer(now, draw);
  const timer = setInterval(() => draw(current()), REDRAW_MS);
  timer.unref();
  return {
    ...tell,
    notice(message) {
      draw({ kind: "idle" });
      err(`${message}\n`);
      draw(current());
    },
    [Symbol.dispose]() {
      clearInterval(timer);
      draw({ kind: "idle" });
    },
  };
}

function plainProgress({ err, now }: Terminal): Progress {
  const told = new Set<string>();
  let spoken = Number.NEGATIVE_INFINITY;
  const { now: _, ...tell } = viewer(now, (view) => {
    if (!isNews(view, told, now() - spoken)) return;
    spoken = now();
    err(`${textOf(view, now())}\n`);
  });
  return { ...tell, notice: (message) => err(`${message}\n`), [Symbol.dispose]: () => {} };
}

/** Whether a plain line is worth it: titles once, numbers now and then, and the last of them. */
function isNews(view: View, told: Set<string>, silence: number): boolean {
  if (view.kind === "busy") return told.size < told.add(view.title).size;
  if (view.kind === "download") return silence >= QUIET_MS || view.at.done === view.at.total;
  if (view.kind === "steps" && view.done > 0)
    return silence >= QUIET_MS || view.done === view.total;
  if (view.kind === "training") {
    const isFirst = told.size < told.add("training").size;
    return isFirst || silence >= QUIET_TRAINING_MS || view.at.step === view.at.steps;
  }
  return false;
}

/** A view in one line of at most `width` characters. */
export function lineOf(view: View, now: number, width: number, unicode: boolean): string {
  const text = textOf(view, now);
  const share = shareOf(view);
  const line =
    share === undefined || width < text.length + BAR_WIDTH + 2
      ? text
      : `${barOf(share, unicode)}  ${text}`;
  return [...line].slice(0, Math.max(0, width)).join("");
}

function shareOf(view: View): number | undefined {
  if (view.kind === "download") return view.at.total === 0 ? 1 : view.at.done / view.at.total;
  if (view.kind === "steps" && view.total !== undefined) return view.done / view.total;
  if (view.kind === "training") return view.at.step / view.at.steps;
  return undefined;
}

function barOf(share: number, unicode: boolean): string {
  const full = Math.round(Math.min(1, share) * BAR_WIDTH);
  const [on, off] = unicode ? ["█", "░"] : ["#", "."];
  return on.repeat(full) + off.repeat(BAR_WIDTH - full);
}

function textOf(view: View, now: number): string {
  switch (view.kind) {
    case "idle":
      return "";
    case "busy": {
      const seconds = Math.floor((now - view.since) / 1000);
      return seconds < 1 ? view.title : `${view.title}  ${seconds} s`;
    }
    case "download":
      return downloadText(view, now);
    case "steps":
      return stepsText(view, now);
    case "training":
      return trainingText(view.at);
  }
}

function trainingText({ step, steps, loss, samplesPerSecond, left }: TrainingProgress): string {
  const pace = Number(samplesPerSecond.toPrecision(3));
  const rest = step === steps ? "" : `, ${formatDuration(left)} left`;
  return `step ${step}/${steps}, loss ${loss.toPrecision(4)}, ${pace} samples/s${rest}`;
}

function downloadText({ at, since, from }: View & { kind: "download" }, now: number): string {
  const speed = (at.done - from) / Math.max(1, now - since); // bytes a millisecond
  const left = speed > 0 ? `, ${formatDuration((at.total - at.done) / speed)} left` : "";
  const pace = at.done === at.total ? "" : `, ${formatBytes(1000 * speed)}/s${left}`;
  const file = at.files === 1 ? at.file : `${at.filesDone} of ${at.files} files`;
  return `downloading ${file}: ${formatBytes(at.done)} of ${formatBytes(at.total)}${pace}`;
}

function stepsText(view: View & { kind: "steps" }, now: number): string {
  const { title, done, total, spent, since } = view;
  if (total === undefined || done === 0) {
    return `${title} 1  ${Math.floor((now - since) / 1000)} s`;
  }
  const each = spent / done;
  const left = Math.max(0, each * (total - done) - (now - since));
  const rest = done === total ? "" : `, ${formatDuration(left)} left`;
  return `${title} ${done}/${total}, ${formatPace(each)}${rest}`;
}
