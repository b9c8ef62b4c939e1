import { invariant } from "../util/errors.js";

/**
 * One side of a shape: a number, or an integer expression over symbols such as `h` whose value is
 * known when a graph is run. Expressions are kept as polynomials in a canonical order, so that equal
 * expressions have equal keys.
 */
export type Dim = number | SymbolicDim;

/** A polynomial over symbols and floor divisions; `key` is its canonical and readable form. */
export interface SymbolicDim {
  readonly key: string;
  readonly terms: readonly Term[];
}

/** `factor` times the product of `atoms` (sorted by key; empty for the constant term). */
interface Term {
  readonly factor: number;
  readonly atoms: readonly Atom[];
}

type Atom =
  | { readonly key: string; readonly kind: "symbol" }
  | {
      readonly key: string;
      readonly kind: "floorDiv";
      readonly of: SymbolicDim;
      readonly by: number;
    };

/** Values of the symbols. */
export type Bindings = Readonly<Record<string, number>>;

/** A dimension whose value is bound when the graph is run; at least 1. */
export function symbol(name: string): Dim {
  return fromTerms([{ factor: 1, atoms: [{ kind: "symbol", key: name }] }]);
}

const atomsKey = (atoms: readonly Atom[]): string => atoms.map((a) => a.key).join("*");

/** Sums terms with equal atoms, drops zeros, sorts; a lone constant becomes a number again. */
function fromTerms(terms: readonly Term[]): Dim {
  const sums = new Map<string, Term>();
  for (const { factor, atoms } of terms) {
    const key = atomsKey(atoms);
    sums.set(key, { factor: factor + (sums.get(key)?.factor ?? 0), atoms });
  }
  const kept = [...sums].filter(([, term]) => term.factor !== 0);
  if (kept.length === 0) return 0;
  if (kept.length === 1 && kept[0]![0] === "") return kept[0]![1].factor;
  kept.sort(([a], [b]) => (a === "" ? 1 : b === "" ? -1 : a < b ? -1 : 1));
  return inOrder(kept.map(([, term]) => term));
}

/** The sum of terms that are in canonical order, each with atoms of its own. */
function inOrder(terms: readonly Term[]): SymbolicDim {
  const shown = ({ factor, atoms }: Term): string =>
    atoms.length === 0
      ? `${factor}`
      : factor === 1
        ? atomsKey(atoms)
        : `${factor}*${atomsKey(atoms)}`;
  return { key: terms.map(shown).join(" + "), terms };
}

function termsOf(d: Dim): readonly Term[] {
  return typeof d === "number" ? [{ factor: d, atoms: [] }] : d.terms;
}

/** a + b */
export function addDims(a: Dim, b: Dim): Dim {
  if (typeof a === "number" && typeof b === "number") return a + b;
  return fromTerms([...termsOf(a), ...termsOf(b)]);
}

/** a * b */
export function mulDims(a: Dim, b: Dim): Dim {
  if (typeof a === "number") return typeof b === "number" ? a * b : scaled(b, a);
  if (typeof b === "number") return scaled(a, b);
  const product: Term[] = [];
  for (const s of termsOf(a)) {
    for (const t of termsOf(b)) {
      const atoms = [...s.atoms, ...t.atoms].sort((x, y) => (x.key < y.key ? -1 : 1));
      product.push({ factor: s.factor * t.factor, atoms });
    }
  }
  return fromTerms(product);
}

/** d * n */
function scaled(d: SymbolicDim, n: number): Dim {
  if (n === 0) return 0;
  if (n === 1) return d;
  return inOrder(d.terms.map(({ factor, atoms }) => ({ factor: factor * n, atoms })));
}

/** floor(a / n) for a positive integer n; exact terms are taken out of the floor. */
export function floorDivDim(a: Dim, n: number): Dim {
  invariant(Number.isInteger(n) && n > 0, `floorDivDim: divisor ${n}`);
  if (typeof a === "number") return Math.floor(a / n);
  if (n === 1) return a;
  const exact = a.terms.filter((t) => t.factor % n === 0);
  const rest = fromTerms(a.terms.filter((t) => t.factor % n !== 0));
  const whole = fromTerms(exact.map((t) => ({ factor: t.factor / n, atoms: t.atoms })));
  if (typeof rest === "number") return addDims(whole, Math.floor(rest / n));
  const atom: Atom = { kind: "floorDiv", key: `floor((${rest.key})/${n})`, of: rest, by: n };
  return addDims(whole, fromTerms([{ factor: 1, atoms: [atom] }]));
}

/** a / b where b, a number or a single term, divides every term of a; undefined otherwise. */
export function exactDivDim(a: Dim, b: Dim): Dim | undefined {
  const divisor = termsOf(b);
  if (divisor.length !== 1) return sameDim(a, b) ? 1 : undefined;
  const { factor, atoms } = divisor[0]!;
  const quotient: Term[] = [];
  for (const term of termsOf(a)) {
    const left = [...term.atoms];
    for (const atom of atoms) {
      const at = left.findIndex((x) => x.key === atom.key);
      if (at < 0) return undefined;
      left.splice(at, 1);
    }
    if (factor === 0 || term.factor % factor !== 0) return undefined;
    quotient.push({ factor: term.factor / factor, atoms: left });
  }
  return fromTerms(quotient);
}

/** Product of all dims: the number of elements. */
export function dimProduct(dims: readonly Dim[]): Dim {
  return dims.reduce(mulDims, 1);
}

/** Whether two dims are equal for every value of their symbols. */
export function sameDim(a: Dim, b: Dim): boolean {
  return typeof a === "number" || typeof b === "number" ? a === b : a.key === b.key;
}

/** Whether two shapes are equal for every value of their symbols. */
export function sameShape(a: readonly Dim[], b: readonly Dim[]): boolean {
  return a.length === b.length && a.every((d, i) => sameDim(d, b[i]!));
}

/** `[b, 4, h, w]`, for messages. */
export function showShape(shape: readonly Dim[]): string {
  return `[${shape.map((d) => (typeof d === "number" ? `${d}` : d.key)).join(", ")}]`;
}

/** The names of the symbols in a dim. */
export function symbolsOf(d: Dim): readonly string[] {
  const names = new Set<string>();
  for (const term of typeof d === "number" ? [] : d.terms) {
    for (const atom of term.atoms) {
      for (const name of atom.kind === "symbol" ? [atom.key] : symbolsOf(atom.of)) names.add(name);
    }
  }
  return [...names];
}

/** The value of a dim once its symbols are bound. */
export function evaluateDim(d: Dim, bindings: Bindings): number {
  if (typeof d === "number") return d;
  let sum = 0;
  for (const { factor, atoms } of d.terms) {
    let product = factor;
    for (const atom of atoms) {
      if (atom.kind === "floorDiv") {
        product *= Math.floor(evaluateDim(atom.of, bindings) / atom.by);
      } else {
        const value = bindings[atom.key];
        invariant(value !== undefined, `symbol ${atom.key} is not bound`);
        product *= value;
      }
    }
    sum += product;
  }
  return sum;
}

/**
 * Binds the symbols of `shape` so that it equals `actual`, adding to `bindings`. A symbol must stand
 * alone in some dim (`h`, or `8*h`) before it may stand in an expression. False when they do not fit.
 */
export function bindShape(
  shape: readonly Dim[],
  actual: readonly number[],
  bindings: Record<string, number>,
): boolean {
  if (shape.length !== actual.length) return false;
  return shape.every((d, i) => {
    const size = actual[i]!;
    if (typeof d === "number") return d === size;
    const [term, ...more] = d.terms;
    const atom = term!.atoms[0];
    const alone = more.length === 0 && term!.atoms.length === 1 && atom!.kind === "symbol";
    if (alone && bindings[atom!.key] === undefined) {
      bindings[atom!.key] = size / term!.factor;
      return Number.isInteger(bindings[atom!.key]) && size > 0;
    }
    return (
      symbolsOf(d).every((s) => bindings[s] !== undefined) && evaluateDim(d, bindings) === size
    );
  });
}
