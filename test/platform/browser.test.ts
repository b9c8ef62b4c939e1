import { createHash } from "node:crypto";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { resolveModel } from "../../src/hub/resolve.js";
import { blobSource, fileListFolder } from "../../src/platform/browser/blobs.js";
import { httpFolder, httpSource } from "../../src/platform/browser/http.js";
import { originFiles } from "../../src/platform/browser/opfs.js";
import { browserPlatform } from "../../src/platform/browser/platform.js";
import { sha256 } from "../../src/platform/browser/sha256.js";
import { noise, PLAIN, pipelineRepo } from "../hub/fixtures.js";
import { etagOf, serveHub } from "../hub/server.js";
import { fakeStorage } from "./fakeStorage.js";

test("sha256 agrees with OpenSSL's for every length and split", async () => {
  for (const length of [0, 1, 55, 56, 63, 64, 65, 119, 120, 127, 128, 1000, 300_001]) {
    const data = noise(length, length + 1);
    const hasher = sha256();
    for (let at = 0, step = 1; at < length; at += step, step = (step * 7) % 1009) {
      hasher.update(data.subarray(at, at + step));
    }
    const expected = createHash("sha256").update(data).digest("hex");
    expect(await hasher.digest(), `${length} bytes`).toBe(expected);
  }
});

test("blobs and chosen folders are read", async () => {
  const file = (path: string, text: string): File =>
    Object.defineProperty(new File([text], path.split("/").at(-1)!), "webkitRelativePath", {
      value: path,
    });
  const source = blobSource(new File(["0123456789"], "a.ckpt"));
  expect(source).toMatchObject({ name: "a.ckpt", size: 10 });
  expect(new TextDecoder().decode(await source.read(2, 3))).toBe("234");
  const folder = fileListFolder([
    file("sd/unet/config.json", "{}"),
    file("sd/model_index.json", "{}"),
    file("sd/.git/HEAD", ""),
  ]);
  expect(folder.name).toBe("sd");
  expect(await folder.list()).toEqual(["model_index.json", "unet/config.json"]);
  expect((await folder.open("unet/config.json")).name).toBe("sd/unet/config.json");
  await expect(folder.open("unet/confg.json")).rejects.toThrow(/Did you mean "unet\/config.json"/);
});

async function serve(listener: RequestListener): Promise<{ url: string } & AsyncDisposable> {
  const server = createServer(listener);
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

/** Static files, with ranges or without. */
function statics(files: { readonly [path: string]: Uint8Array }, ranges = true): RequestListener {
  return (request, response) => {
    const body = files[decodeURIComponent(request.url ?? "").slice(1)];
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
    if (body === undefined) {
      // As servers of single-page applications do.
      response.writeHead(200, { "Content-Type": "text/html" }).end("<html></html>");
    } else if (!ranges || from === undefined) {
      response.writeHead(200).end(body);
    } else if (body.byteLength === 0) {
      response.writeHead(416).end();
    } else {
      const piece = body.subarray(Number(from), Number(to) + 1);
      const range = `bytes ${from}-${Number(from) + piece.byteLength - 1}/${body.byteLength}`;
      response.writeHead(206, { "Content-Range": range }).end(piece);
    }
  };
}

test.each([true, false])("files behind a URL are read (ranges: %s)", async (ranges) => {
  const data = noise(5000);
  await using server = await serve(statics({ a: data, empty: new Uint8Array(0) }, ranges));
  const source = await httpSource(`${server.url}/a`);
  expect(source.size).toBe(5000);
  expect(await source.read(100, 50)).toEqual(data.slice(100, 150));
  expect(await source.read(4999, 1)).toEqual(data.slice(4999));
  await expect(async () => source.read(4999, 2)).rejects.toThrow(/but the file has 5000 bytes/);
  expect((await httpSource(`${server.url}/empty`)).size).toBe(0);
  await expect(httpSource(`${server.url}/nothing`)).rejects.toThrow(/no such file on the server/);
});

test("a server that cannot be reached is named", async () => {
  await expect(httpSource("http://127.0.0.1:9/a")).rejects.toThrow(/cannot be fetched.*CORS/);
});

test("a folder behind a URL finds the files of its pipeline", async () => {
  const { files } = pipelineRepo();
  await using server = await serve(statics(files));
  const folder = httpFolder(`${server.url}/`);
  const found = await folder.list();
  expect(found).toEqual(expect.arrayContaining([...PLAIN]));
  expect(found.every((path) => path in files)).toBe(true);
  expect(await (await folder.open(PLAIN[3]!)).read(0, 9)).toEqual(files[PLAIN[3]!]!.slice(0, 9));
  const named = httpFolder(server.url, { files: ["model_index.json"] });
  expect(await named.list()).toEqual(["model_index.json"]);
  await expect(named.open("unet/config.json")).rejects.toThrow(/has no file/);
  const platform = browserPlatform({ storage: originFiles(async () => fakeStorage()) });
  const model = await resolveModel(server.url, { platform });
  expect(model.kind).toBe("folder");
});

test("a browser downloads a model into its own storage, and continues after a cut", async () => {
  const repo = pipelineRepo();
  await using hub = await serveHub([repo]);
  const root = fakeStorage();
  const platform = {
    ...browserPlatform({
      storage: originFiles(async () => root),
      environment: { HF_ENDPOINT: hub.endpoint },
    }),
    lock: async () => ({ async [Symbol.asyncDispose]() {} }),
  };
  const unet = etagOf(repo.files["unet/diffusion_pytorch_model.safetensors"]!);
  let cut = true;
  hub.fault = ({ path }) => {
    if (!path.includes(unet) || !cut) return undefined;
    cut = false;
    return { kind: "cut", after: 100_000 };
  };
  const model = await resolveModel(repo.id, { platform, patience: { firstWait: 1 } });
  if (model.kind !== "folder") throw new Error("expected a folder");
  expect(await model.folder.list()).toEqual([...PLAIN].sort());
  for (const path of PLAIN) {
    const source = await model.folder.open(path);
    expect(await source.read(0, source.size), path).toEqual(repo.files[path]);
  }
  hub.seen.length = 0;
  await resolveModel(repo.id, { platform });
  expect(hub.seen).toHaveLength(1);
});
