import type * as Ort from "onnxruntime-common";

/** What ONNX Runtime's packages for Node.js and the browser have in common. */
export type OrtModule = Pick<typeof Ort, "InferenceSession" | "Tensor">;
