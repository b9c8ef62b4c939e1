export type { DownloadProgress } from "./cache.js";
export type { ResolvedModel } from "./model.js";
export { type ResolveOptions, resolveModel } from "./resolve.js";
