import { TintypeError } from "../util/errors.js";
import type { DeviceName } from "./setup.js";

/** Rewords what the engine throws: which model, on which device, and what may help. */
export async function explained<T>(
  label: string,
  device: DeviceName,
  act: () => Promise<T>,
  ifMemoryEnds = "Try --low-memory or a smaller picture.",
): Promise<T> {
  try {
    return await act();
  } catch (cause) {
    if (cause instanceof TintypeError) throw cause;
    const reason = plainReason(cause instanceof Error ? cause.message : String(cause));
    if (/alloc|out of memory|bad_alloc/i.test(reason)) {
      throw new TintypeError(
        "out-of-memory",
        `${label}: memory ran out on ${device} (${reason}).`,
        { cause, advice: ifMemoryEnds },
      );
    }
    throw new TintypeError("device", `${label}: ${device} refused (${reason}).`, { cause });
  }
}

/** ONNX Runtime's message without the C++ that it comes from. */
function plainReason(message: string): string {
  return message
    .replace(/^.*\[ONNXRuntimeError\] : \d+ : \w+ : /s, "")
    .replace(/\/onnxruntime_src\/\S+:\d+ .*?\) (?=[A-Z])/gs, "")
    .replace(/^\w+\.(?:cc|h):\d+ \w+ /, "")
    .replace(/\s+/g, " ")
    .replace(/[\s.]+$/, "");
}
