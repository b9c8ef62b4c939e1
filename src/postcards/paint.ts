import { type Picture, pictureFromRgba } from "../image/picture.js";
import { softEllipse } from "./brush.js";
import type { CanvasFactory, Context2D } from "./canvas.js";
import { layoutOf, type Placed, POSTCARD_SIZE } from "./layout.js";
import { HORIZONS, paintGround } from "./paintGround.js";
import { type Disc, paintSky, placeDisc } from "./paintSky.js";
import { paintThing } from "./paintThing.js";
import { LIGHTS, type Light } from "./palette.js";
import { seededRandom } from "./random.js";
import { KIND_FACTS, type Scene } from "./world.js";

const SIZE = POSTCARD_SIZE;

/** The shadow on the ground, away from the light. */
function paintShadow(c: Context2D, { x, base, width }: Placed, scene: Scene, disc: Disc): void {
  const long = { dawn: 0.42, day: 0.16, sunset: 0.46, night: 0.2 }[scene.time];
  const dark = scene.weather === "cloudy" ? 0.3 : 0.42;
  const away = disc.x < x ? 1 : -1;
  const cx = x + away * width * long;
  softEllipse(
    c,
    [cx, base + 0.5, width * (0.55 + long * 0.5), width * 0.13 + 1],
    [20, 22, 50],
    dark,
  );
}

/** The thing upside down in the water below it. */
function paintReflection(c: Context2D, thing: Placed, light: Light, fromLeft: boolean): void {
  c.save();
  c.translate(thing.x, thing.base);
  c.scale(1, -0.55);
  c.globalAlpha = 0.28;
  paintThing(c, thing, light, fromLeft);
  c.restore();
}

function paintPlaced(c: Context2D, thing: Placed, light: Light, fromLeft: boolean): void {
  c.save();
  c.translate(thing.x, thing.base);
  paintThing(c, thing, light, fromLeft);
  c.restore();
}

/** Draws a scene on a context of POSTCARD_SIZE by POSTCARD_SIZE pixels, over whatever is there. */
export function paintScene(c: Context2D, scene: Scene): void {
  const light = LIGHTS[scene.time];
  const things = layoutOf(scene).toSorted((a, b) => a.base - b.base);
  const random = seededRandom(scene.seed, "detail");
  const horizon = HORIZONS[scene.ground];
  const disc = placeDisc(random, scene, horizon, things);
  paintSky(c, random, scene, light, { horizon, disc });
  const fromLeft = (thing: Placed): boolean => disc.x < thing.x;
  const on = (place: string): Placed[] => things.filter((t) => KIND_FACTS[t.kind].place === place);
  const afloat = (): void => {
    for (const boat of on("water")) paintReflection(c, boat, light, fromLeft(boat));
  };
  paintGround(c, random, scene, light, { disc, afloat });
  for (const thing of on("land")) paintShadow(c, thing, scene, disc);
  for (const thing of things) paintPlaced(c, thing, light, fromLeft(thing));
}

/** Paints a scene: 128x128, RGB. The same scene on the same 2D library gives the same bytes. */
export function paintPostcard(scene: Scene, createContext: CanvasFactory): Picture {
  const c = createContext(SIZE, SIZE);
  paintScene(c, scene);
  return pictureFromRgba(SIZE, SIZE, c.getImageData(0, 0, SIZE, SIZE).data);
}
