import * as ort from "onnxruntime-node";
import { collectGarbage } from "../../platform/node/garbage.js";
import { nodeWorkerPort } from "../../platform/node/worker.js";
import { hostSessions } from "../sessionHost.js";

hostSessions(ort, nodeWorkerPort(), collectGarbage);
