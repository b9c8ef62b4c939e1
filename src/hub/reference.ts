import { TintypeError } from "../util/errors.js";

/** A model, or one file or folder of it, on a Hugging Face hub. */
export interface HubReference {
  /** `owner/name`. */
  readonly id: string;
  /** A branch, a tag or a commit. */
  readonly revision: string;
  /** A file or folder inside the repository. */
  readonly path?: string | undefined;
}

const PART = /^[A-Za-z0-9_][\w.-]{0,95}$/;
const MODEL_FILE = /\.(safetensors|ckpt|pth?|bin|gguf|json|ya?ml|zip)$/i;

/** Reads `hf://owner/name[@revision][/path]`, and URLs of a hub; undefined for anything else. */
export function parseHubUrl(ref: string, endpoint: string): HubReference | undefined {
  if (ref.startsWith("hf://")) {
    const match =
      /^hf:\/\/([^/@:]+\/[^/@:]+)(?:@(refs\/[^/:]+\/[^/:]+|[^/:]+))?(?:[:/](.+))?$/.exec(ref);
    return reference(ref, match?.[1], match?.[2] ?? "main", match?.[3]);
  }
  if (!/^https?:\/\//.test(ref) || !URL.canParse(ref)) return undefined;
  const url = new URL(ref);
  const base = new URL(endpoint);
  const hosts = [base.host, "huggingface.co", "www.huggingface.co", "hf.co"];
  if (!hosts.includes(url.host)) return undefined;
  const prefix = url.host === base.host ? base.pathname.replace(/\/$/, "") : "";
  const parts = url.pathname.slice(prefix.length).split("/").filter(Boolean);
  const [owner, name, kind, ...rest] = parts.map(decodeURIComponent);
  if (kind !== undefined && !["tree", "blob", "resolve", "raw"].includes(kind)) {
    throw malformed(ref);
  }
  const [revision, path] = splitRevision(rest.join("/"));
  const id = name === undefined ? undefined : `${owner}/${name}`;
  return reference(ref, id, revision === "" ? "main" : revision, path);
}

/** Reads `owner/name[@revision][:path]`; undefined when `ref` cannot be one. */
export function parseHubId(ref: string): HubReference | undefined {
  const match = /^([^/@:\s]+)\/([^/@:\s]+)(?:@([^@:\s]+))?(?::([^\s].*))?$/.exec(ref);
  const [, owner, name, revision, path] = match ?? [];
  if (owner === undefined || name === undefined) return undefined;
  if (!isId(`${owner}/${name}`) || MODEL_FILE.test(name)) return undefined;
  return reference(ref, `${owner}/${name}`, revision ?? "main", path);
}

/** `refs/pr/1/unet` -> ["refs/pr/1", "unet"]; `main/unet` -> ["main", "unet"]. */
function splitRevision(text: string): readonly [string, string | undefined] {
  const [, revision, path] = /^(refs\/[^/]+\/[^/]+|[^/]*)(?:\/(.+))?$/.exec(text) ?? [];
  return [revision ?? "", path];
}

function isId(id: string): boolean {
  const parts = id.split("/");
  return parts.length === 2 && parts.every((p) => PART.test(p) && !/--|\.\./.test(p));
}

function reference(
  ref: string,
  id: string | undefined,
  revision: string,
  path: string | undefined,
): HubReference {
  const safe = (text: string): boolean =>
    !/[\\\s?#%]/.test(text) && text.split("/").every((part) => !["", ".", ".."].includes(part));
  const inner = path?.replace(/\/+$/, "");
  if (id === undefined || !isId(id) || !safe(revision)) throw malformed(ref);
  if (inner === undefined || inner === "") return { id, revision };
  if (inner.split("/").some((part) => ["", ".", ".."].includes(part))) throw malformed(ref);
  return { id, revision, path: inner };
}

function malformed(ref: string): TintypeError {
  return new TintypeError(
    "bad-argument",
    `"${ref}" names no Hugging Face model. ` +
      "Expected owner/name, owner/name@revision or owner/name:path/of/a.safetensors.",
  );
}

/** `owner/name`, with its revision when that is not main: what messages call it. */
export function formatReference({ id, revision, path }: HubReference): string {
  const at = revision === "main" ? "" : `@${revision}`;
  return `${id}${at}${path === undefined ? "" : `:${path}`}`;
}
