import { checkInside } from "../platform/paths.js";
import type { Platform } from "../platform/types.js";
import { TintypeError, throwIfAborted } from "../util/errors.js";
import { formatReference, type HubReference } from "./reference.js";
import { type Patience, retry, retryAfterOf, Transient } from "./retry.js";
import type { HubSettings } from "./settings.js";

/** A hub, and how to ask it. */
export interface Hub {
  readonly platform: Platform;
  readonly settings: HubSettings;
  readonly patience: Patience;
  readonly signal: AbortSignal | undefined;
}

/** A file of a repository. */
export interface RepoFile {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** The name of its blob in the cache: the hash of its contents. */
  readonly etag: string;
  /** What the etag is: SHA-256 of the bytes (LFS, Xet), or git's SHA-1 of a blob. */
  readonly algorithm: "sha256" | "git-sha1";
}

/** A response whose body must be read or cancelled; `alive` is called whenever something came. */
export interface Answer {
  readonly response: Response;
  alive(): void;
  /** Ends the connection, and stops the clock. */
  end(): void;
}

/**
 * One GET. Throws Transient for what may pass (no connection, silence, 408, 429, 5xx) and a
 * TintypeError for what will not. Redirects to another host do not get the token: fetch drops the
 * Authorization header there.
 */
export async function get(
  hub: Hub,
  ref: HubReference,
  url: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const { settings, patience, signal } = hub;
  const stop = new AbortController();
  const abort = (): void => stop.abort();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const alive = (): void => {
    clearTimeout(timer);
    timer = setTimeout(abort, patience.silence ?? 30_000);
  };
  const end = (): void => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
    stop.abort();
  };
  throwIfAborted(signal);
  signal?.addEventListener("abort", abort);
  alive();
  try {
    const authorization =
      settings.token === undefined ? {} : { Authorization: `Bearer ${settings.token}` };
    const response = await hub.platform.fetch(url, {
      headers: { "Accept-Encoding": "identity", ...authorization, ...headers },
      signal: stop.signal,
    });
    if (!response.ok && response.status !== 416) throw await refusal(hub, ref, response);
    return { response, alive, end };
  } catch (error) {
    end();
    throw connectionError(hub, url, error);
  }
}

/** What a broken connection means; errors that are ours already come back unchanged. */
export function connectionError(hub: Hub, url: string, error: unknown): unknown {
  if (error instanceof TintypeError || error instanceof Transient) return error;
  if (hub.signal?.aborted) {
    return new TintypeError("aborted", "stopped", { cause: hub.signal.reason });
  }
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const silent = cause instanceof Error && cause.name === "AbortError";
  const reason = silent ? "it does not answer" : String((cause as Error)?.message ?? cause);
  const message =
    `cannot reach ${new URL(url).host}: ${reason}. Check the connection and HF_ENDPOINT; ` +
    "HF_HUB_OFFLINE=1 uses what is in the cache.";
  return new Transient(new TintypeError("network", message, { cause: error }));
}

/** Source: the status and X-Error-Code table of huggingface_hub's hf_raise_for_status. */
async function refusal(hub: Hub, ref: HubReference, response: Response): Promise<Error> {
  await response.body?.cancel().catch(() => {});
  const { status, headers } = response;
  const { endpoint, token } = hub.settings;
  const code = headers.get("x-error-code");
  const name = formatReference(ref);
  const page = `${endpoint}/${ref.id}`;
  const login =
    token === undefined
      ? `Log in: make a token at ${endpoint}/settings/tokens and set HF_TOKEN to it, or run ` +
        "`hf auth login`."
      : "The token in use (HF_TOKEN, or that of `hf auth login`) does not give access to it.";
  if (status === 408 || status === 429 || status >= 500) {
    const message = `${name}: the hub answers ${status} (${
      status === 429 ? "too many requests" : "it has a problem"
    }). Try again later.`;
    return new Transient(new TintypeError("network", message), retryAfterOf(headers, Date.now()));
  }
  if (code === "GatedRepo" || (status === 403 && code === null)) {
    const message = `${name} is gated: accept its licence at ${page} with your account. ${login}`;
    return new TintypeError("network", message);
  }
  if (code === "RevisionNotFound") {
    const message =
      `${name}: the repository ${ref.id} has no revision "${ref.revision}". ` +
      `See its branches and tags at ${page}/tree/main.`;
    return new TintypeError("not-found", message);
  }
  if (code === "EntryNotFound") {
    return new TintypeError("not-found", `${name}: no such file. See ${page}/tree/main.`);
  }
  if (status === 401 || status === 404 || code === "RepoNotFound") {
    // A hub answers 401 for a missing repository too, so as not to tell which are private.
    const message =
      `${name}: there is no such model at ${endpoint}, or it is private. Check the name. ` +
      `If it is private or gated: ${login}`;
    return new TintypeError(status === 401 ? "network" : "not-found", message);
  }
  return new TintypeError("network", `${name}: the hub refused with status ${status} at ${page}.`);
}

async function getJson(
  hub: Hub,
  ref: HubReference,
  url: string,
): Promise<{ readonly body: unknown; readonly headers: Headers }> {
  return retry(
    async () => {
      const answer = await get(hub, ref, url);
      try {
        return { body: await answer.response.json(), headers: answer.response.headers };
      } catch (error) {
        if (error instanceof SyntaxError) throw unexpected(url);
        throw connectionError(hub, url, error);
      } finally {
        answer.end();
      }
    },
    hub.patience,
    hub.signal,
  );
}

function unexpected(url: string): TintypeError {
  return new TintypeError(
    "network",
    `${url}: the answer is not that of a Hugging Face hub. Check HF_ENDPOINT, and proxies that ` +
      "ask for a login.",
  );
}

/** The commit that a revision stands for, 40 hexadecimal digits. */
export async function fetchCommit(hub: Hub, ref: HubReference): Promise<string> {
  const revision = encodeURIComponent(ref.revision);
  const url = `${hub.settings.endpoint}/api/models/${ref.id}/revision/${revision}`;
  const { sha } = ((await getJson(hub, ref, url)).body ?? {}) as { sha?: unknown };
  if (typeof sha !== "string" || !/^[0-9a-f]{40}$/.test(sha)) throw unexpected(url);
  return sha;
}

/** All files of a repository at a commit. */
export async function fetchFiles(
  hub: Hub,
  ref: HubReference,
  commit: string,
): Promise<readonly RepoFile[]> {
  const { endpoint } = hub.settings;
  const files: RepoFile[] = [];
  const first = `${endpoint}/api/models/${ref.id}/tree/${commit}?recursive=true&expand=false`;
  for (let url: string | undefined = first; url !== undefined; ) {
    const { body, headers } = await getJson(hub, ref, url);
    if (!Array.isArray(body)) throw unexpected(url);
    files.push(...body.flatMap((entry) => parseEntry(ref, url!, entry) ?? []));
    const next: string | undefined = /<([^>]+)>;\s*rel="next"/.exec(headers.get("link") ?? "")?.[1];
    // The token goes to the hub alone.
    if (next !== undefined && !next.startsWith(`${endpoint}/`)) throw unexpected(url);
    url = next;
  }
  return files;
}

interface TreeEntry {
  readonly type?: unknown;
  readonly path?: unknown;
  readonly size?: unknown;
  readonly oid?: unknown;
  readonly lfs?: { readonly oid?: unknown; readonly size?: unknown };
}

function parseEntry(ref: HubReference, url: string, entry: TreeEntry): RepoFile | undefined {
  if (entry?.type !== "file") return undefined;
  const { path, lfs } = entry;
  const size = lfs?.size ?? entry.size;
  const etag = lfs?.oid ?? entry.oid;
  if (typeof path !== "string" || typeof etag !== "string") throw unexpected(url);
  if (!Number.isSafeInteger(size) || (size as number) < 0) throw unexpected(url);
  if (!(lfs === undefined ? /^[0-9a-f]{40}$/ : /^[0-9a-f]{64}$/).test(etag)) throw unexpected(url);
  checkInside(ref.id, path);
  return {
    path,
    size: size as number,
    etag,
    algorithm: lfs === undefined ? "git-sha1" : "sha256",
  };
}

/** Where a file's bytes are. */
export function resolveUrl(hub: Hub, ref: HubReference, commit: string, path: string): string {
  const encoded = path.split("/").map(encodeURIComponent).join("/");
  return `${hub.settings.endpoint}/${ref.id}/resolve/${commit}/${encoded}`;
}
