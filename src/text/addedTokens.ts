/** A token that is found in the text before any other rule looks at it, such as `<|endoftext|>`. */
export interface AddedToken {
  readonly content: string;
  /** Searched in the normalized text (so in any case of letters) rather than in the text as given. */
  readonly normalized: boolean;
  /** Takes the white space on its left with it. */
  readonly lstrip: boolean;
  /** Takes the white space on its right with it. */
  readonly rstrip: boolean;
  /** Counts only where no letter, mark, digit or connector touches it. */
  readonly singleWord: boolean;
}

/** A stretch of text, or an added token by its content. */
export type Piece =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "token"; readonly content: string };

const WORD = String.raw`[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]`;

function pattern(token: AddedToken, spelling: string): string {
  const space = String.raw`\p{White_Space}*`;
  const literal = spelling.replace(/[\\^$.*+?()[\]{}|/]/g, String.raw`\$&`);
  const core = token.singleWord ? `(?<!${WORD})(${literal})(?!${WORD})` : `(${literal})`;
  return (token.lstrip ? space : "") + core + (token.rstrip ? space : "");
}

/** Cuts text at the given tokens; the leftmost match counts, and the longest of those. */
export function addedTokenSplitter(
  tokens: readonly AddedToken[],
  normalize: (text: string) => string,
): (text: string) => Piece[] {
  if (tokens.length === 0) return (text) => [{ kind: "text", text }];
  const spelled = tokens
    .map((token) => ({
      token,
      spelling: token.normalized ? normalize(token.content) : token.content,
    }))
    .sort((a, b) => b.spelling.length - a.spelling.length);
  const regex = new RegExp(spelled.map((s) => pattern(s.token, s.spelling)).join("|"), "gu");
  return (text) => {
    const pieces: Piece[] = [];
    let end = 0;
    for (const match of text.matchAll(regex)) {
      const which = match.slice(1).findIndex((group) => group !== undefined);
      pieces.push({ kind: "text", text: text.slice(end, match.index) });
      pieces.push({ kind: "token", content: spelled[which]!.token.content });
      end = match.index + match[0].length;
    }
    pieces.push({ kind: "text", text: text.slice(end) });
    return pieces.filter((piece) => piece.kind === "token" || piece.text !== "");
  };
}
