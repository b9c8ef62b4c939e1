import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A repository that the test hub serves. */
export interface Repo {
  readonly id: string;
  commit: string;
  /** Path -> contents. Files of 1000 bytes or more are LFS files, served by the "CDN". */
  readonly files: { readonly [path: string]: Uint8Array };
  /** Needs this token. */
  readonly gated?: string;
}

/** What the hub or the CDN does to one response instead of answering well. */
export type Fault =
  | { readonly kind: "cut"; readonly after: number } // the connection breaks after so many bytes
  | { readonly kind: "corrupt" } // one byte is wrong
  | { readonly kind: "short" } // the end is missing, and Content-Length says so
  | { readonly kind: "long" } // more bytes than there should be
  | { readonly kind: "no-range" } // a 200 to a Range request
  | { readonly kind: "silent" } // headers, then nothing
  | { readonly kind: "slow"; readonly ms: number } // a pause before each piece
  | { readonly kind: "status"; readonly status: number; readonly retryAfter?: string };

export interface Seen {
  readonly host: "hub" | "cdn";
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
}

export interface HubServer extends AsyncDisposable {
  readonly endpoint: string;
  readonly seen: Seen[];
  /** Asked for each request; undefined answers well. */
  fault: (seen: Seen) => Fault | undefined;
}

export const LFS_FROM = 1000;
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** The name that git gives to these bytes. */
export function gitSha1(bytes: Uint8Array): string {
  return createHash("sha1").update(`blob ${bytes.byteLength}\0`).update(bytes).digest("hex");
}

/** The etag of a file, as the hub has it. */
export function etagOf(bytes: Uint8Array): string {
  return bytes.byteLength >= LFS_FROM ? sha256(bytes) : gitSha1(bytes);
}

/** A hub on one loopback port and its CDN on another. */
export async function serveHub(repos: readonly Repo[]): Promise<HubServer> {
  const seen: Seen[] = [];
  const note = (host: Seen["host"], request: IncomingMessage): Seen => {
    const { range, authorization } = request.headers;
    const entry = { host, path: request.url ?? "", range, authorization };
    seen.push(entry);
    return entry;
  };
  const cdn = createServer((request, response) => {
    const entry = note("cdn", request);
    const digest = entry.path.slice(1);
    const all = repos.flatMap(({ files }) => Object.values(files));
    const bytes = all.find((file) => sha256(file) === digest);
    if (bytes === undefined) return void response.writeHead(404).end();
    void send(request, response, bytes, { ETag: `"${digest}"` }, hub.fault(entry));
  });
  const front = createServer((request, response) => {
    const entry = note("hub", request);
    const fault = hub.fault(entry);
    if (fault?.kind === "status") refuse(response, fault);
    else answer(repos, cdnUrl, request, response, fault);
  });
  const [endpoint, cdnUrl] = [await listen(front), await listen(cdn)];
  const hub: HubServer = {
    endpoint,
    seen,
    fault: () => undefined,
    async [Symbol.asyncDispose]() {
      for (const server of [front, cdn]) {
        server.closeAllConnections();
        await new Promise((done) => server.close(done));
      }
    },
  };
  return hub;
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function refuse(response: ServerResponse, fault: Fault & { readonly kind: "status" }): void {
  const { status, retryAfter } = fault;
  response.writeHead(status, retryAfter === undefined ? {} : { "Retry-After": retryAfter }).end();
}

function answer(
  repos: readonly Repo[],
  cdnUrl: string,
  request: IncomingMessage,
  response: ServerResponse,
  fault: Fault | undefined,
): unknown {
  const fail = (status: number, code: string): unknown =>
    response.writeHead(status, { "X-Error-Code": code }).end();
  const url = new URL(request.url ?? "", "http://hub");
  const parts = url.pathname.split("/").filter(Boolean).map(decodeURIComponent);
  const isApi = parts[0] === "api";
  const [owner, name, action, revision, ...rest] = isApi ? parts.slice(2) : parts;
  const repo = repos.find(({ id }) => id === `${owner}/${name}`);
  if (repo === undefined) return fail(401, "RepoNotFound");
  if (action !== undefined && revision !== "main" && revision !== repo.commit) {
    return fail(404, "RevisionNotFound");
  }
  if (isApi && (action === "revision" || action === undefined)) {
    const siblings = Object.keys(repo.files).map((rfilename) => ({ rfilename }));
    return json(response, { id: repo.id, modelId: repo.id, sha: repo.commit, siblings });
  }
  if (isApi && action === "tree") return sendTree(repo, url, request, response);
  if (action !== "resolve") return fail(404, "EntryNotFound");
  const authorized = request.headers.authorization === `Bearer ${repo.gated}`;
  if (repo.gated !== undefined && !authorized) {
    return fail(request.headers.authorization === undefined ? 401 : 403, "GatedRepo");
  }
  const bytes = repo.files[rest.join("/")];
  if (bytes === undefined) return fail(404, "EntryNotFound");
  const headers = { "X-Repo-Commit": repo.commit, ETag: `"${etagOf(bytes)}"` };
  if (bytes.byteLength < LFS_FROM) return send(request, response, bytes, headers, fault);
  const linked = { "X-Linked-Size": bytes.byteLength, "X-Linked-ETag": `"${sha256(bytes)}"` };
  return response
    .writeHead(302, { ...headers, ...linked, Location: `${cdnUrl}/${sha256(bytes)}` })
    .end();
}

function json(response: ServerResponse, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(200, { "Content-Type": "application/json", ...headers });
  response.end(JSON.stringify(body));
}

/** Two pages, as the hub sends long lists. */
function sendTree(
  repo: Repo,
  url: URL,
  request: IncomingMessage,
  response: ServerResponse,
): unknown {
  const entries = Object.entries(repo.files).map(([path, bytes]) => ({
    type: "file",
    path,
    size: bytes.byteLength,
    oid: gitSha1(bytes),
    ...(bytes.byteLength >= LFS_FROM && {
      lfs: { oid: sha256(bytes), size: bytes.byteLength, pointerSize: 130 },
    }),
  }));
  const folders = [...new Set(entries.flatMap(({ path }) => path.split("/").slice(0, -1)))];
  const all = [
    ...folders.map((path) => ({ type: "directory", path, size: 0, oid: "" })),
    ...entries,
  ];
  const half = Math.ceil(all.length / 2);
  if (url.searchParams.has("cursor")) return json(response, all.slice(half));
  const next = `http://${request.headers.host}${url.pathname}?cursor=2`;
  return json(response, all.slice(0, half), { Link: `<${next}>; rel="next"` });
}

async function send(
  request: IncomingMessage,
  response: ServerResponse,
  whole: Uint8Array,
  headers: Record<string, string>,
  fault: Fault | undefined,
): Promise<void> {
  if (fault?.kind === "status") return refuse(response, fault);
  let bytes = whole;
  if (fault?.kind === "corrupt") bytes = bytes.map((byte, i) => (i === 3 ? byte ^ 1 : byte));
  if (fault?.kind === "short") bytes = bytes.subarray(0, -9);
  if (fault?.kind === "long") bytes = Buffer.concat([bytes, Buffer.from("surplus")]);
  const total = bytes.byteLength;
  const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
  if (start > 0 && start >= total) return void response.writeHead(416).end();
  const partial = request.headers.range !== undefined && fault?.kind !== "no-range";
  if (partial) bytes = bytes.subarray(start);
  response.writeHead(partial ? 206 : 200, {
    ...headers,
    ...(fault?.kind !== "long" && { "Content-Length": String(bytes.byteLength) }),
    ...(partial && { "Content-Range": `bytes ${start}-${total - 1}/${total}` }),
  });
  if (request.method === "HEAD") return void response.end();
  if (fault?.kind === "silent") return void response.flushHeaders();
  if (fault?.kind === "cut" && fault.after < bytes.byteLength) {
    const piece = bytes.subarray(0, fault.after);
    return void response.write(piece, () => setTimeout(() => response.destroy(), 20));
  }
  if (fault?.kind !== "slow") return void response.end(bytes);
  for (let at = 0; at < bytes.byteLength && !response.destroyed; at += 1000) {
    response.write(bytes.subarray(at, at + 1000));
    await new Promise((done) => setTimeout(done, fault.ms));
  }
  response.end();
}
