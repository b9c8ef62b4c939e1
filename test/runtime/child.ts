// Runs the network once in a process of its own: child.ts CACHE WEIGHTS WIDTH LAYERS. Prints how it
// was loaded, a digest of the answer, and the memory that no file backs; holds the network until its
// input ends.
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { network, openWeights, watchedEngine, X } from "./support.js";

const [cache, weights, width, layers] = process.argv.slice(2) as [string, string, string, string];

/** Anonymous memory in bytes; Linux only. */
function anonymous(): number {
  const found = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"));
  return found ? 1024 * Number(found[1]) : Number.NaN;
}

const graph = network(Number(width), Number(layers));
const stored = await openWeights(weights, graph);
await using engine = watchedEngine(cache);
// The engine's own libraries and the interpreter are no part of the measurement.
await using small = await engine.load(network(8, 1), await openWeights(weights, network(8, 1)), {
  label: "warm-up",
});
await small.run({ x: X });
const before = anonymous();
process.stdout.write("loading\n");
await using program = await engine.load(graph, stored, { label: "network" });
const { y } = await program.run({ x: X });
const digest = createHash("sha256").update(y!.data).digest("hex");
const grown = anonymous() - before;
process.stdout.write(`${JSON.stringify({ loads: engine.loads.slice(1), digest, grown })}\n`);
await once(process.stdin.resume(), "end");
