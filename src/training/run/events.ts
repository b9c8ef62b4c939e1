import { Message } from "../../onnx/protobuf.js";
import type { Files } from "../../platform/types.js";

/*
 * TensorBoard's event files: records of TFRecord, each an Event message.
 * Source: tensorflow/core/lib/io/record_writer.h, tensorflow/core/util/event.proto,
 * tensorflow/core/framework/summary.proto.
 */

/** Scalars on their way to TensorBoard. */
export interface EventLog extends AsyncDisposable {
  /** `time` is milliseconds since 1970. */
  append(step: number, time: number, scalars: Readonly<Record<string, number>>): Promise<void>;
}

const EVENT = { wallTime: 1, step: 2, fileVersion: 3, summary: 5, sessionLog: 7 } as const;
const SUMMARY_VALUE = 1;
const VALUE = { tag: 1, simpleValue: 2 } as const;
const SESSION_STATUS = 1;
const SESSION_START = 1;

/**
 * Begins an event file in a run's folder, for the steps after `step`. Its first record makes
 * TensorBoard forget what older files say of those steps.
 */
export async function openEvents(
  files: Files,
  run: string,
  { step, time }: { readonly step: number; readonly time: number },
): Promise<EventLog> {
  const sink = await files.append(await freeName(files, run, time), 0);
  const write = (event: Message): Promise<void> => sink.write(record(event.encode()));
  const session = new Message().int(SESSION_STATUS, SESSION_START);
  try {
    await write(eventAt(time).string(EVENT.fileVersion, "brain.Event:2"));
    await write(eventAt(time, step + 1).message(EVENT.sessionLog, session));
  } catch (error) {
    await sink.close();
    throw error;
  }
  return {
    append: (at, when, scalars) =>
      write(eventAt(when, at).message(EVENT.summary, summaryOf(scalars))),
    [Symbol.asyncDispose]: () => sink.close(),
  };
}

/** TensorBoard reads the files of a folder in the order of their names. */
async function freeName(files: Files, run: string, time: number): Promise<string> {
  for (let n = 0; ; n++) {
    const seconds = Math.floor(time / 1000);
    const path = `${run}/events.out.tfevents.${seconds}.tintype.${String(n).padStart(3, "0")}`;
    if ((await files.stat(path)) === undefined) return path;
  }
}

function eventAt(time: number, step?: number): Message {
  const event = new Message().double(EVENT.wallTime, time / 1000);
  return step === undefined ? event : event.int(EVENT.step, step);
}

function summaryOf(scalars: Readonly<Record<string, number>>): Message {
  const summary = new Message();
  for (const [tag, value] of Object.entries(scalars)) {
    summary.message(
      SUMMARY_VALUE,
      new Message().string(VALUE.tag, tag).float(VALUE.simpleValue, value),
    );
  }
  return summary;
}

/** Length, its checksum, data, its checksum. */
export function record(data: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(16 + data.length);
  const view = new DataView(out.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc32c(out.subarray(0, 8)), true);
  out.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc32c(data), true);
  return out;
}

const CRC_TABLE: Uint32Array = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? 0x82f63b78 ^ (c >>> 1) : c >>> 1;
  return c;
});

/** CRC-32C (Castagnoli), rotated and shifted so that a checksum of checksums is none. */
export function maskedCrc32c(data: Uint8Array): number {
  let c = 0xffffffff;
  for (const byte of data) c = CRC_TABLE[(c ^ byte) & 0xff]! ^ (c >>> 8);
  const crc = (c ^ 0xffffffff) >>> 0;
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
