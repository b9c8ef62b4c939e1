/** What a screen obeys and does not show: controls, ends of lines, turns in the direction of text. */
const OBEYED = /[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/gu;

const SHORT: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/**
 * Text of which a file may have written a part, such as its name, for a message: on one line, and
 * without anything that a terminal would obey. Such characters are written as JSON has them; what is
 * shown so once stays as it is.
 */
export function oneLine(text: string): string {
  return text.replace(OBEYED, (character) => {
    const code = character.charCodeAt(0).toString(16).padStart(4, "0");
    return SHORT[character] ?? `\\u${code}`;
  });
}

/** The same for text of several lines, each of which stays one. */
export function eachLine(text: string): string {
  return text.split("\n").map(oneLine).join("\n");
}
