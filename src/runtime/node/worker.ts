import * as ort from "onnxruntime-node";
import { nodeWorkerPort } from "../../platform/node/worker.js";
import { hostSessions } from "../sessionHost.js";

hostSessions(ort, nodeWorkerPort());
