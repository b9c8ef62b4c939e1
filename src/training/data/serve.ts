import { type Picture, picturesToTensor } from "../../image/picture.js";
import { cut, mirrored, partOffset } from "../../image/window.js";
import type { Port } from "../../platform/worker.js";
import type { Tensor } from "../../tensor/tensor.js";
import { check } from "../../util/errors.js";
import { oneLine } from "../../util/oneLine.js";
import type { Answer, Frame, Job, Jobs, PictureRef, Question } from "./protocol.js";

/** What the thread can do that depends on the platform. */
export interface PictureTools {
  /** Bytes of a picture; at most `most` from its start. */
  read(ref: PictureRef, most?: number): Promise<Uint8Array<ArrayBuffer>>;
  /** Width and height, turned upright. Throws for anything that is no picture. */
  measure(bytes: Uint8Array, name: string): Promise<readonly [width: number, height: number]>;
  /** Scaled and cut as the frame says, not yet mirrored. Throws "bad-file" for what is no picture. */
  frame(bytes: Uint8Array, name: string, frame: Frame): Promise<Picture>;
  /** The training scene of a seed, painted, with a caption. */
  paint(seed: number): { readonly picture: Picture; readonly caption: string };
}

/** A picture's size stands in its first bytes, mostly. */
const HEAD_BYTES = 64 << 10;

/** Answers a data source's questions, one after the other. */
export function servePictures(port: Port, tools: PictureTools): void {
  let last: Promise<void> = Promise.resolve();
  port.listen((message) => {
    const question = message as Question;
    last = last.then(async () => {
      const answer = await answerTo(question, tools);
      const value = answer.ok ? answer.value : undefined;
      const images = value !== undefined && "images" in value ? value.images : undefined;
      port.post(answer, images === undefined ? [] : [images.data.buffer]);
    });
  });
}

async function answerTo(question: Question, tools: PictureTools): Promise<Answer> {
  try {
    return { id: question.id, ok: true, value: await work(question, tools) };
  } catch (error) {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { id: question.id, ok: false, message };
  }
}

function work(question: Question, tools: PictureTools): Promise<Jobs[Job]["answer"]> {
  switch (question.job) {
    case "measure":
      return measureAll(question.pictures, tools);
    case "frame":
      return frameAll(question.pictures, question.frames, tools);
    case "paint":
      return Promise.resolve(paintAll(question, tools));
  }
}

const reasonOf = (error: unknown): string =>
  oneLine(error instanceof Error ? error.message : String(error));

/** More bytes than this are no picture, and would take all memory. */
const MAX_PICTURE_BYTES = 1 << 30;

function wholeOf(ref: PictureRef, tools: PictureTools): Promise<Uint8Array<ArrayBuffer>> {
  check(
    ref.length <= MAX_PICTURE_BYTES,
    "bad-file",
    `${ref.name}: ${ref.length} bytes are more than the ${MAX_PICTURE_BYTES} that Tintype reads of a picture.`,
  );
  return tools.read(ref);
}

async function measureAll(
  refs: readonly PictureRef[],
  tools: PictureTools,
): Promise<Jobs["measure"]["answer"]> {
  const sizes = [];
  for (const ref of refs) {
    try {
      const head = await tools.read(ref, HEAD_BYTES);
      const size = await tools.measure(head, ref.name).catch(async (error) => {
        if (ref.length <= HEAD_BYTES) throw error;
        return await tools.measure(await wholeOf(ref, tools), ref.name);
      });
      sizes.push(size);
    } catch (error) {
      sizes.push(reasonOf(error));
    }
  }
  return sizes;
}

async function frameAll(
  refs: readonly PictureRef[],
  frames: readonly Frame[],
  tools: PictureTools,
): Promise<Jobs["frame"]["answer"]> {
  const pictures: Picture[] = [];
  const broken = new Map<number, string>();
  for (const [i, ref] of refs.entries()) {
    try {
      const framed = await tools.frame(await wholeOf(ref, tools), ref.name, frames[i]!);
      pictures.push(frames[i]!.flip ? mirrored(framed) : framed);
    } catch (error) {
      broken.set(i, reasonOf(error));
    }
  }
  return { images: pictures.length === 0 ? undefined : picturesToTensor(pictures), broken };
}

function paintAll(
  { seeds, crops }: Jobs["paint"]["ask"],
  tools: PictureTools,
): { readonly images: Tensor; readonly captions: readonly string[] } {
  const painted = seeds.map((seed) => tools.paint(seed));
  const pictures = painted.map(({ picture }, i) => {
    const crop = crops[i];
    if (crop === undefined) return picture;
    const { side, at } = crop;
    const left = partOffset(picture.width, side, at[0]);
    return cut(picture, [left, partOffset(picture.height, side, at[1])], [side, side]);
  });
  return { images: picturesToTensor(pictures), captions: painted.map(({ caption }) => caption) };
}
