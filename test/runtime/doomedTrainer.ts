// A worker that trains until its first update, at which it dies as one does whose memory ran out.
import { parentPort } from "node:worker_threads";
import * as ort from "onnxruntime-node";
import { nodeWorkerPort } from "../../src/platform/node/worker.js";
import { hostSessions } from "../../src/runtime/sessionHost.js";

hostSessions(ort, nodeWorkerPort());
parentPort!.on("message", ({ request }: { request: { kind: string } }) => {
  if (request.kind === "updateStore") process.exit(3);
});
