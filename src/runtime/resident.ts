import type { Tensor } from "../tensor/tensor.js";
import type { Client } from "./client.js";
import type { WireResident } from "./protocol.js";

/**
 * A result that stays in the device's memory, to be fed to programs of the same engine. It is freed when
 * it is disposed of, or some time after nobody holds it any more.
 */
export interface Resident extends Disposable {
  readonly shape: readonly number[];
  readonly resident: WireResident;
}

/** What a program takes: numbers from the host, or what another program left on the device. */
export type Fed = Tensor | Resident;

/** Holds what a worker says has stayed with it. */
export function residentsOf(
  client: Client,
): (stayed: Readonly<Record<string, WireResident>>) => Readonly<Record<string, Resident>> {
  const forget = (resident: number): void => {
    // Once the worker is gone, its memory is too.
    client.request({ kind: "forget", residents: [resident] }).catch(() => {});
  };
  const lost = new FinalizationRegistry(forget);
  const held = (resident: WireResident): Resident => {
    const one: Resident = {
      shape: resident.shape,
      resident,
      [Symbol.dispose]() {
        if (lost.unregister(one)) forget(resident.resident);
      },
    };
    lost.register(one, resident.resident, one);
    return one;
  };
  return (stayed) =>
    Object.fromEntries(Object.entries(stayed).map(([name, wire]) => [name, held(wire)]));
}
