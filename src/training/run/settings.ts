import { TintypeError } from "../../util/errors.js";

/**
 * JSON with some of its keys set: each of `settings` is KEY=VALUE, where KEY is a path such as
 * learningRate.peak or samples.prompts.0, and VALUE is JSON or else text. Throws "bad-argument"
 * for anything else; `where` is what that message begins with.
 */
export function withSettings(json: unknown, settings: readonly string[], where: string): unknown {
  return settings.reduce((before, setting) => {
    const at = setting.indexOf("=");
    const path = setting.slice(0, Math.max(0, at)).trim().split(".");
    if (at > 0 && path.every((key) => key !== "")) {
      return withKey(before, path, parseValue(setting.slice(at + 1).trim()), where);
    }
    throw new TintypeError(
      "bad-argument",
      `${where}: expected KEY=VALUE, such as learningRate.peak=1e-4, got "${setting}".`,
    );
  }, json);
}

function parseValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function withKey(json: unknown, path: readonly string[], value: unknown, where: string): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  if (Array.isArray(json)) {
    const index = Number(key);
    const fits = /^\d+$/.test(key) && index <= json.length;
    if (!fits) throw notThere(key, `a list of ${json.length}`, where);
    return json.toSpliced(index, 1, withKey(json[index], rest, value, where));
  }
  if (typeof json === "object" && json !== null) {
    const inner = Object.hasOwn(json, key) ? Reflect.get(json, key) : undefined;
    return { ...json, [key]: withKey(inner, rest, value, where) };
  }
  if (json === undefined || json === null) return { [key]: withKey(undefined, rest, value, where) };
  throw notThere(key, JSON.stringify(json), where);
}

function notThere(key: string, inside: string, where: string): TintypeError {
  return new TintypeError("bad-argument", `${where}: there is no "${key}" in ${inside}.`);
}
