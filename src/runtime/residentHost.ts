import type * as Ort from "onnxruntime-common";
import { invariant } from "../util/errors.js";
import type { WireResident } from "./protocol.js";

/** Results of sessions that stay in the device's memory, to be fed to other sessions. */
export interface Residents {
  /** Takes a result in. It outlives its session. */
  keep(tensor: Ort.Tensor): WireResident;
  find(resident: WireResident): Ort.Tensor;
  /** Frees one; nothing happens where it is gone already. */
  forget(resident: number): void;
}

/** None yet. They are freed by name alone: the engine does not survive one that is merely collected. */
export function residents(): Residents {
  const kept = new Map<number, Ort.Tensor>();
  let next = 1;
  return {
    keep(tensor) {
      const resident = next++;
      kept.set(resident, tensor);
      return { type: "resident", shape: tensor.dims, resident };
    },
    find({ resident }) {
      const found = kept.get(resident);
      invariant(found !== undefined, `no resident result ${resident}`);
      return found;
    },
    forget(resident) {
      kept.get(resident)?.dispose();
      kept.delete(resident);
    },
  };
}
