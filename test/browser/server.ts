import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { build } from "esbuild";

/** A running server of test pages. */
export interface TestServer extends AsyncDisposable {
  readonly url: string;
}

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".json": "application/json",
  ".wasm": "application/wasm",
};

/** Folders that are served as they are. */
const FOLDERS: Readonly<Record<string, string>> = {
  golden: "test/golden",
  ort: "node_modules/onnxruntime-web/dist",
};

/** One module of this repository with all that it imports, for a browser. */
async function bundle(entry: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    format: "esm",
    target: "es2022",
    conditions: ["onnxruntime-web-use-extern-wasm"],
    logLevel: "error",
  });
  return outputFiles[0]!.text;
}

/**
 * Serves `modules` (paths of this server to source files) bundled, a page at / that loads
 * `/page.js`, and the fixtures; cross-origin isolated, so that WebAssembly may have threads.
 */
export async function serveTests(modules: Readonly<Record<string, string>>): Promise<TestServer> {
  const texts = new Map<string, string | Buffer>([
    ["/", '<!doctype html><title>Tintype</title><script type="module" src="/page.js"></script>'],
  ]);
  for (const [path, entry] of Object.entries(modules)) texts.set(path, await bundle(entry));

  const find = async (path: string): Promise<Buffer | string | undefined> => {
    const known = texts.get(path);
    if (known !== undefined) return known;
    const [, top, ...rest] = path.split("/");
    const folder = FOLDERS[top ?? ""];
    if (folder === undefined) return undefined;
    return await readFile(join(folder, normalize(`/${rest.join("/")}`))).catch(() => undefined);
  };

  const server = createServer(async (request, response) => {
    const path = new URL(request.url ?? "/", "http://localhost").pathname;
    const found = await find(path);
    const headers = {
      "Cross-Origin-Opener-Policy": "same-origin",
      "Cross-Origin-Embedder-Policy": "require-corp",
      "Content-Type": TYPES[path === "/" ? ".html" : extname(path)] ?? "application/octet-stream",
    };
    if (found === undefined) return response.writeHead(404, headers).end();
    const body = Buffer.from(found);
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
    if (range === null) return response.writeHead(200, headers).end(body);
    const [start, end] = [Number(range[1]), Math.min(Number(range[2]), body.length - 1)];
    const part = { ...headers, "Content-Range": `bytes ${start}-${end}/${body.length}` };
    return response.writeHead(206, part).end(body.subarray(start, end + 1));
  });
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  return {
    url: `http://localhost:${(server.address() as AddressInfo).port}/`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}
