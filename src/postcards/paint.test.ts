import { describe, expect, it } from "vitest";
import type { Picture } from "../image/picture.js";
import { canvasContext } from "../platform/node/canvas.js";
import {
  COLOURS,
  type Context2D,
  GROUNDS,
  KIND_FACTS,
  KINDS,
  kindsOn,
  layoutOf,
  type Placed,
  POSTCARD_SIZE,
  paintPostcard,
  type Scene,
  sceneOf,
  TIMES,
  weathersOf,
} from "./index.js";
import { SHAPES } from "./layout.js";
import { paintThing } from "./paintThing.js";
import { LIGHTS } from "./palette.js";

const SIZE = POSTCARD_SIZE;
const paint = (scene: Scene): Picture => paintPostcard(scene, canvasContext);

/** Mean of each channel over the rows from the top to `y1`. */
function mean({ data }: Picture, y1: number): number[] {
  return [0, 1, 2].map((c) => {
    let sum = 0;
    for (let i = 0; i < y1 * SIZE; i++) sum += data[i * 3 + c]!;
    return sum / (y1 * SIZE);
  });
}

/** The largest difference of two pictures at each pixel. */
function differences(a: Picture, b: Picture): number[] {
  return Array.from({ length: SIZE * SIZE }, (_, i) =>
    Math.max(...[0, 1, 2].map((c) => Math.abs(a.data[i * 3 + c]! - b.data[i * 3 + c]!))),
  );
}

function inside({ x, base, width, height, kind }: Placed, px: number, py: number): boolean {
  const mirrored = KIND_FACTS[kind].place === "water" ? height * 0.55 : 0;
  return (
    Math.abs(px + 0.5 - x) <= width / 2 + 1 && py >= base - height - 1 && py <= base + mirrored + 1
  );
}

describe("paintPostcard", () => {
  it("gives the same picture for the same scene, and another for another seed", () => {
    for (const seed of [1, 2, 3]) {
      const scene = sceneOf(seed);
      const first = paint(scene);
      expect(first).toMatchObject({ width: 128, height: 128, channels: 3 });
      expect(paint(scene).data).toEqual(first.data);
      expect(paint({ ...scene, seed: seed + 100 }).data).not.toEqual(first.data);
    }
  });

  it("paints every value of the world, on every ground", () => {
    const scene = sceneOf(0);
    const painted = new Set<string>();
    for (const ground of GROUNDS) {
      for (const time of TIMES) {
        for (const weather of weathersOf(time)) {
          const kind = kindsOn(ground)[0]!;
          const groups = [{ kind, colour: "red", count: 1, side: "left" }] as const;
          const moon = time === "night" ? "full" : undefined;
          const { data } = paint({ ...scene, ground, time, weather, moon, groups });
          painted.add(Buffer.from(data).toString("base64"));
        }
      }
    }
    expect(painted.size).toBe(GROUNDS.length * (3 + 3 + 3 + 2));
  });

  it("makes the night dark, the day blue and the sunset warm", () => {
    const sky = (time: (typeof TIMES)[number]): number[] => {
      const scenes = Array.from({ length: 300 }, (_, i) => sceneOf(i));
      const picked = scenes.filter((s) => s.time === time).slice(0, 20);
      const means = picked.map((s) => mean(paint(s), 60));
      return [0, 1, 2].map((c) => means.reduce((sum, m) => sum + m[c]!, 0) / means.length);
    };
    const [dawn, day, sunset, night] = TIMES.map(sky) as [number[], number[], number[], number[]];
    expect(Math.max(...night)).toBeLessThan(110);
    expect(day[2]! - day[0]!).toBeGreaterThan(40);
    expect(sunset[0]! - sunset[2]!).toBeGreaterThan(40);
    expect(Math.min(...dawn)).toBeGreaterThan(170);
  });

  it("colours the things themselves and nothing else, and hides none of them", () => {
    const scenes = Array.from({ length: 60 }, (_, i) => sceneOf(i)).filter(
      (s) => s.groups[0].colour !== undefined,
    );
    expect(scenes.length).toBeGreaterThan(25);
    for (const scene of scenes) {
      const [first, ...rest] = scene.groups;
      const other = first.colour === "green" ? "pink" : "green";
      const groups = [{ ...first, colour: other }, ...rest] as unknown as Scene["groups"];
      const changed = differences(paint(scene), paint({ ...scene, groups }));
      const things = layoutOf(scene).filter((p) => p.group === 0);
      const areas = things.map(() => 0);
      let outside = 0;
      for (const [i, d] of changed.entries()) {
        if (d <= 8) continue;
        const at = things.findIndex((t) => inside(t, i % SIZE, Math.floor(i / SIZE)));
        if (at < 0) outside++;
        else areas[at]! += 1;
      }
      expect(outside, `seed ${scene.seed}`).toBe(0);
      for (const [i, { width, height }] of things.entries()) {
        expect(areas[i]! / (width * height)).toBeGreaterThan(0.2);
      }
    }
  });
});

describe("paintThing", () => {
  it.each(KINDS)("fills the box of a %s and stays in it", (kind) => {
    const [width, height] = SHAPES[kind];
    const c: Context2D = canvasContext(128, 128);
    c.translate(64, 100);
    c.scale(2, 2);
    paintThing(c, { kind, colour: "red", width, height }, LIGHTS.day, true);
    const { data } = c.getImageData(0, 0, 128, 128);
    const [xs, ys]: [number[], number[]] = [[], []];
    for (let i = 0; i < 128 * 128; i++) {
      if (data[i * 4 + 3]! < 128) continue;
      xs.push(i % 128);
      ys.push(Math.floor(i / 128));
    }
    const [left, right] = [Math.min(...xs), Math.max(...xs) + 1];
    const [top, bottom] = [Math.min(...ys), Math.max(...ys) + 1];
    for (const [edge, ideal] of [
      [left, 64 - width],
      [right, 64 + width],
      [top, 100 - 2 * height],
      [bottom, 100],
    ] as const) {
      expect(Math.abs(edge - ideal)).toBeLessThanOrEqual(0.14 * width * 2);
    }
    expect(xs.length).toBeGreaterThan(0.24 * 4 * width * height);
  });

  it("keeps colours apart at every time of day", () => {
    for (const time of TIMES) {
      const seen = COLOURS.map((colour) => {
        const c: Context2D = canvasContext(64, 64);
        c.translate(32, 60);
        paintThing(c, { kind: "balloon", colour, width: 40, height: 56 }, LIGHTS[time], true);
        // The middle of its brighter half.
        const { data } = c.getImageData(20, 20, 6, 6);
        return [0, 1, 2].map((k) => {
          let sum = 0;
          for (let i = 0; i < 36; i++) sum += data[i * 4 + k]!;
          return sum / 36;
        });
      });
      for (const [i, a] of seen.entries()) {
        for (const b of seen.slice(i + 1)) {
          expect(Math.hypot(a[0]! - b[0]!, a[1]! - b[1]!, a[2]! - b[2]!)).toBeGreaterThan(60);
        }
      }
    }
  });
});
