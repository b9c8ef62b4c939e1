import { expect, test } from "vitest";
import { eachLine, oneLine } from "./oneLine.js";

test.each([
  ["ends of lines", "a\nb\r\nc\u2028d\u2029e\u0085f", "a\\nb\\r\\nc\\u2028d\\u2029e\\u0085f"],
  ["escape codes of 7 and of 8 bits", "\u001b[31mred\u009b0m", "\\u001b[31mred\\u009b0m"],
  ["NUL, tab, backspace and DEL", "\0\t\b\u007f", "\\u0000\\t\\u0008\\u007f"],
  ["turns of direction", "gnp.\u202ecod\u2066", "gnp.\\u202ecod\\u2066"],
])("%s are written out", (_, text, shown) => {
  expect(oneLine(text)).toBe(shown);
  expect(oneLine(shown)).toBe(shown);
});

test("of several lines, each stays one", () => {
  expect(eachLine("a\u001b[2J\nb\r\nc")).toBe("a\\u001b[2J\nb\\r\nc");
});

test("all other text stays as it is", () => {
  const text = 'C:\\new\\"日本" Bäume, שלום 🌲 \\n';
  expect(oneLine(text)).toBe(text);
});
