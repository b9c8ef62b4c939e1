import { canvasContext } from "../../../platform/node/canvas.js";
import { nodeWorkerPort } from "../../../platform/node/worker.js";
import { paintPostcard } from "../../../postcards/paint.js";
import { sceneOf } from "../../../postcards/scene.js";
import { type PictureTools, servePictures } from "../../../training/data/serve.js";
import { invariant } from "../../../util/errors.js";
import { augmented } from "../augment.js";

const never = (): never =>
  invariant(false, "the judge's threads paint and do nothing else") as never;

const tools: PictureTools = {
  read: never,
  measure: never,
  frame: never,
  paint(seed) {
    const painted = paintPostcard(sceneOf(seed), canvasContext);
    return { picture: augmented(painted, seed), caption: "" };
  },
};

servePictures(nodeWorkerPort(), tools);
