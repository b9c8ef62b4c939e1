/**
 * Says how often a judge is right about fresh painted pictures, and writes it to a file if one is named:
 * what ships beside the judge is of 5,000.
 *
 *     npx tsx scripts/measureJudge.ts [models/postcards-judge] [--pictures 5000] [--out accuracy.json]
 */
import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { accuracyOf, type Check } from "../src/evaluation/checks.js";
import { freshChecks } from "../src/evaluation/fresh.js";
import { openJudge } from "../src/evaluation/judge/files.js";
import { defaultJudge } from "../src/evaluation/node.js";
import { percent } from "../src/evaluation/report.js";
import { canvasContext } from "../src/platform/node/canvas.js";
import { nodePlatform } from "../src/platform/node/platform.js";
import { paintPostcard } from "../src/postcards/paint.js";
import { nodeEngine } from "../src/runtime/node/engine.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { pictures: { type: "string", default: "5000" }, out: { type: "string" } },
});
const folder = resolve(positionals[0] ?? defaultJudge());
const total = Number(values.pictures);

const platform = nodePlatform();
await using engine = nodeEngine({ platform, device: "cpu", threads: 2 });
await using judge = await openJudge(await platform.openFolder(folder), engine);
const checks: (readonly Check[])[] = [];
while (checks.length < total) {
  const count = Math.min(100, total - checks.length);
  const paint = (scene: Parameters<typeof paintPostcard>[0]) => paintPostcard(scene, canvasContext);
  checks.push(...(await freshChecks(judge, paint, checks.length, count)));
}
const accuracy = accuracyOf(checks);
for (const [name, share] of Object.entries(accuracy)) console.log(name.padEnd(10), percent(share));
const wrong = new Map<string, number>();
for (const { right, attribute, said, seen } of checks.flat()) {
  const what = `${attribute}: ${said}, seen ${seen}`;
  if (!right) wrong.set(what, (wrong.get(what) ?? 0) + 1);
}
console.log("\nmost frequent mistakes");
for (const [what, n] of [...wrong].sort((a, b) => b[1] - a[1]).slice(0, 12))
  console.log(`${n}  ${what}`);
const json = JSON.stringify({ pictures: total, accuracy }, null, 2);
if (values.out !== undefined) writeFileSync(resolve(values.out), `${json}\n`);
