import { canvasContext } from "../../../platform/node/canvas.js";
import { framePicture, pictureSize } from "../../../platform/node/framing.js";
import { openFile } from "../../../platform/node/sources.js";
import { nodeWorkerPort } from "../../../platform/node/worker.js";
import { captionOf } from "../../../postcards/caption.js";
import { paintPostcard } from "../../../postcards/paint.js";
import { trainingScene } from "../../../postcards/scene.js";
import { servePictures } from "../serve.js";

servePictures(nodeWorkerPort(), {
  async read({ path, name, offset, length }, most = length) {
    const file = await openFile(path, name);
    return await file.read(offset, Math.min(length, most));
  },
  measure: pictureSize,
  frame: framePicture,
  paint(seed) {
    const scene = trainingScene(seed);
    return { picture: paintPostcard(scene, canvasContext), caption: captionOf(scene, seed).text };
  },
});
