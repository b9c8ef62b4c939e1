import { autoencoder } from "./autoencoder/task.js";
import { clip } from "./clip/task.js";
import { diffusion } from "./diffusion/task.js";
import type { TaskKind } from "./task.js";

/** Every kind of training by its name. */
// biome-ignore lint/suspicious/noExplicitAny: each kind has settings of its own
export const KINDS: Readonly<Record<string, TaskKind<any>>> = { autoencoder, clip, diffusion };
