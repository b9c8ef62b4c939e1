import * as ort from "onnxruntime-node";
import { overwrite } from "../../platform/node/files.js";
import { collectGarbage } from "../../platform/node/garbage.js";
import { openFile } from "../../platform/node/sources.js";
import { nodeWorkerPort } from "../../platform/node/worker.js";
import { hostSessions } from "../sessionHost.js";

hostSessions(ort, nodeWorkerPort(), { collectGarbage, files: { openFile, overwrite } });
