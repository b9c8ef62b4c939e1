import type { Context2D } from "./canvas.js";
import { house, lighthouse, tent, tower } from "./paintBuildings.js";
import { cactus, palm, pine, snowman, tree } from "./paintNature.js";
import { balloon, car, sailboat } from "./paintVehicles.js";
import { type Light, PAINTS } from "./palette.js";
import type { Brush } from "./thingBrush.js";
import type { Colour, Kind } from "./world.js";

const DRAW: Readonly<Record<Kind, (b: Brush) => void>> = {
  house,
  tent,
  car,
  balloon,
  sailboat,
  lighthouse,
  tower,
  tree,
  pine,
  palm,
  cactus,
  snowman,
};

/** Draws a thing, w wide and h high, on the point (0, 0). */
export function paintThing(
  c: Context2D,
  thing: {
    readonly kind: Kind;
    readonly colour: Colour | undefined;
    readonly width: number;
    readonly height: number;
  },
  light: Light,
  fromLeft: boolean,
): void {
  const paint = PAINTS[thing.colour ?? "white"];
  DRAW[thing.kind]({ c, w: thing.width, h: thing.height, light, paint, fromLeft });
}
