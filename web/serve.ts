/**
 * Serves the example page: bundles its modules, and adds the engine's files and the models.
 * Run: npm run web [-- PORT]
 */
import { open } from "node:fs/promises";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize, resolve } from "node:path";
import { build } from "esbuild";

/** What a server shows, by the paths of its URLs. */
export interface Site {
  /** Path -> TypeScript module, bundled for a browser. */
  readonly modules: Readonly<Record<string, string>>;
  /** Path -> file. */
  readonly files?: Readonly<Record<string, string>>;
  /** First part of the path -> folder whose files are served as they are. */
  readonly folders: Readonly<Record<string, string>>;
  /** Whether who asks for a part of a file gets that part, and not the whole of it; true by default. */
  readonly ranges?: boolean;
  /** 0 takes any free port. */
  readonly port: number;
}

/** A running server; disposing it stops it. */
export interface Server extends AsyncDisposable {
  readonly url: string;
}

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".json": "application/json",
  ".wasm": "application/wasm",
};

async function bundle(entry: string): Promise<Buffer> {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    format: "esm",
    target: "es2022",
    conditions: ["onnxruntime-web-use-extern-wasm"],
    logLevel: "error",
  });
  return Buffer.from(outputFiles[0]!.contents);
}

/** Bytes from `start` up to `end` of a bundle or a file. */
interface Body {
  readonly size: number;
  read(start: number, end: number): Promise<Uint8Array>;
}

const inMemory = (bytes: Buffer): Body => ({
  size: bytes.length,
  read: async (start, end) => bytes.subarray(start, end),
});

/** A file, of which only what is asked for is read; undefined where there is none. */
async function onDisk(path: string): Promise<(Body & AsyncDisposable) | undefined> {
  const handle = await open(path).catch(() => undefined);
  const stat = await handle?.stat();
  if (!handle || !stat?.isFile()) return void (await handle?.close());
  return {
    size: stat.size,
    async read(start, end) {
      const { buffer } = await handle.read(Buffer.alloc(end - start), 0, end - start, start);
      return buffer;
    },
    [Symbol.asyncDispose]: () => handle.close(),
  };
}

/** Sends a body, or the range of it that was asked for. */
async function send(response: ServerResponse, path: string, body: Body, asked = ""): Promise<void> {
  const headers = {
    // Cross-origin isolation: without it WebAssembly has one thread.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Content-Type": TYPES[extname(path)] ?? "application/octet-stream",
  };
  const range = /^bytes=(\d+)-(\d+)$/.exec(asked);
  if (range === null) {
    response.writeHead(200, headers).end(await body.read(0, body.size));
    return;
  }
  const [start, end] = [Number(range[1]), Math.min(Number(range[2]) + 1, body.size)];
  const part = { ...headers, "Content-Range": `bytes ${start}-${end - 1}/${body.size}` };
  response.writeHead(206, part).end(await body.read(start, end));
}

/** Starts a server on this machine's loopback address. */
export async function serve(site: Site): Promise<Server> {
  const { modules, files = {}, folders, ranges = true, port } = site;
  const bundles = new Map<string, Body>();
  for (const [path, entry] of Object.entries(modules)) {
    bundles.set(path, inMemory(await bundle(entry)));
  }

  const fileOf = (path: string): string | undefined => {
    const [, top = "", ...rest] = path.split("/");
    const folder = folders[top];
    return files[path] ?? (folder && join(folder, normalize(`/${rest.join("/")}`)));
  };

  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    const path = decodeURIComponent(pathname === "/" ? "/index.html" : pathname);
    const file = fileOf(path);
    await using opened = bundles.has(path) || !file ? undefined : await onDisk(file);
    const found = bundles.get(path) ?? opened;
    if (found === undefined) response.writeHead(404).end();
    else await send(response, path, found, ranges ? request.headers.range : undefined);
  });
  await new Promise<void>((ready) => server.listen(port, "127.0.0.1", ready));
  return {
    url: `http://localhost:${(server.address() as AddressInfo).port}/`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}

const root = resolve(import.meta.dirname, "..");

/** The example page with everything that it needs. */
export function examplePage(port: number): Site {
  return {
    modules: { "/main.js": join(root, "web/main.ts"), "/worker.js": join(root, "web/worker.ts") },
    files: {
      "/index.html": join(root, "web/index.html"),
      "/style.css": join(root, "web/style.css"),
    },
    folders: {
      models: join(root, "models"),
      ort: join(root, "node_modules/onnxruntime-web/dist"),
    },
    port,
  };
}

if (process.argv[1] === import.meta.filename) {
  const { url } = await serve(examplePage(Number(process.argv[2] ?? 8787)));
  console.log(`Tintype is at ${url} (Ctrl-C stops it)`);
}
