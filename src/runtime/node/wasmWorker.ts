import * as ort from "onnxruntime-web";
import { collectGarbage } from "../../platform/node/garbage.js";
import { nodeWorkerPort } from "../../platform/node/worker.js";
import { hostSessions } from "../sessionHost.js";

// Its threads would be web workers, which Node.js has not.
ort.env.wasm.numThreads = 1;
hostSessions(ort, nodeWorkerPort(), { collectGarbage });
