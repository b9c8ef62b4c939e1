// A worker that hosts sessions until it is told to die in the way that its message names.
import { parentPort } from "node:worker_threads";

parentPort!.on("message", ({ request }: { request: { kind: string } }) => {
  if (request.kind === "run") process.exit(3);
  if (request.kind === "load") throw new Error("thrown in the worker");
});
