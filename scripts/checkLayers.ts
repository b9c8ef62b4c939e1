/**
 * Checks the layering of `src`: a folder imports only from folders above it in LAYERS, modules form
 * no cycle, `node:*` stays in `src/platform/node` and `src/node.ts`, ONNX Runtime in `src/runtime`,
 * and nothing in `src` imports an app. Run: npm run layers
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

/** From the ground up. */
const LAYERS = [
  "util",
  "tensor",
  "image",
  "graph",
  "optim",
  "onnx",
  "platform",
  "runtime",
  "formats",
  "text",
  "nn",
  "models",
  "checkpoints",
  "diffusion",
  "hub",
  "pipelines",
  "benchmark",
  "postcards",
  "training",
  "evaluation",
] as const;

/** Folders whose modules never import each other: what they share lies beside or below them. */
const SIBLINGS = ["clip", "discriminator", "judge", "perceptual", "unet", "vae"].map(
  (name) => `src/models/${name}`,
);

interface Module {
  readonly path: string;
  readonly imports: readonly string[];
}

const root = resolve(import.meta.dirname, "..");

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .map((name) => `${folder}/${name.replaceAll("\\", "/")}`)
    .filter((path) => path.endsWith(".ts") && !path.endsWith(".test.ts"));
}

function readModule(path: string): Module {
  const text = readFileSync(join(root, path), "utf8");
  const found = text.matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g);
  const imports = [...found].map(([, target]) => {
    if (!target!.startsWith(".")) return target!;
    return relative(root, resolve(root, dirname(path), target!)).replace(/\.js$/, ".ts");
  });
  return { path, imports };
}

/** 0 for the ground; apps and entries stand above all layers. */
function height(path: string): number {
  const layer = /^src\/([^/]+)\//.exec(path)?.[1];
  const at = LAYERS.indexOf(layer as (typeof LAYERS)[number]);
  return at < 0 ? LAYERS.length : at;
}

function packageProblem(path: string, target: string): string | undefined {
  const inPlatform = path.startsWith("src/platform/node/") || path === "src/node.ts";
  if (target.startsWith("node:") && !inPlatform) return `${target} belongs in src/platform/node`;
  if (/^onnxruntime-(node|web)/.test(target) && !path.startsWith("src/runtime/")) {
    return `${target} belongs in src/runtime`;
  }
  return undefined;
}

function importProblem(path: string, target: string): string | undefined {
  if (!target.startsWith("src/") && !/^(cli|server|web|bench|test)\//.test(target)) {
    return packageProblem(path, target);
  }
  if (!target.startsWith("src/")) return `src may not import the app ${target}`;
  if (height(target) > height(path)) return `${target} lies above it`;
  const home = SIBLINGS.find((s) => path.startsWith(`${s}/`));
  const other = SIBLINGS.find((s) => target.startsWith(`${s}/`));
  if (home !== undefined && other !== undefined && home !== other) return `${target} is a sibling`;
  return undefined;
}

/** The first cycle met from `start`, as paths. */
function findCycle(modules: ReadonlyMap<string, Module>): string[] | undefined {
  const done = new Set<string>();
  const visit = (path: string, trail: string[]): string[] | undefined => {
    if (trail.includes(path)) return [...trail.slice(trail.indexOf(path)), path];
    if (done.has(path)) return undefined;
    for (const target of modules.get(path)?.imports ?? []) {
      const cycle = modules.has(target) ? visit(target, [...trail, path]) : undefined;
      if (cycle) return cycle;
    }
    done.add(path);
    return undefined;
  };
  for (const path of modules.keys()) {
    const cycle = visit(path, []);
    if (cycle) return cycle;
  }
  return undefined;
}

const modules = new Map(sources("src").map((path) => [path, readModule(path)]));
const problems: string[] = [];
for (const { path, imports } of modules.values()) {
  const layer = /^src\/([^/]+)\//.exec(path)?.[1];
  if (layer !== undefined && height(path) === LAYERS.length) {
    problems.push(`${path}: src/${layer} is not a layer; add it to LAYERS or move it`);
  }
  for (const target of imports) {
    const problem = importProblem(path, target);
    if (problem !== undefined) problems.push(`${path}: ${problem}`);
  }
}
const cycle = findCycle(modules);
if (cycle) problems.push(`import cycle: ${cycle.join(" -> ")}`);

for (const problem of problems) console.error(problem);
console.log(`${modules.size} modules, ${problems.length} layering problems`);
process.exitCode = problems.length > 0 ? 1 : 0;
