import type { Command, Option } from "commander";

/*
 * Completion scripts, made from the commands' own options: they need no help from Tintype when they
 * run, so completing is instant.
 */

/** What can follow after one (sub)command. */
interface Level {
  /** Words that lead here, "" or "generate" or "cache ls". */
  readonly path: string;
  readonly commands: readonly { readonly name: string; readonly summary: string }[];
  readonly options: readonly Option[];
  /** Words or files that the argument may be. */
  readonly words: readonly string[];
  readonly files: boolean;
}

/** Every command with what may follow it, the program itself first. */
function levelsOf(command: Command, path = ""): Level[] {
  const commands = command.commands.map((c) => ({ name: c.name(), summary: c.summary() }));
  const [argument] = command.registeredArguments;
  const level: Level = {
    path,
    commands,
    options: command.createHelp().visibleOptions(command),
    words: argument?.argChoices ?? [],
    files: argument?.name() === "REF",
  };
  const below = command.commands.flatMap((c) => levelsOf(c, `${path} ${c.name()}`.trim()));
  return [level, ...below];
}

/** What the value of an option can be: words, files, or nothing that can be guessed. */
function valuesOf(option: Option): { readonly words: readonly string[]; readonly files: boolean } {
  return { words: option.argChoices ?? [], files: /<(FILE|REF|FOLDER|RUN)/.test(option.flags) };
}

const takesValue = (option: Option): boolean => option.required || option.optional;
const flagsOf = ({ short, long }: Option): string[] =>
  [short, long].filter((flag) => flag !== undefined);

/** The script that teaches a shell to complete this program. */
export function completionScript(program: Command, shell: "bash" | "zsh" | "fish"): string {
  const name = program.name();
  const levels = levelsOf(program);
  if (shell === "fish") return fishScript(name, levels);
  return shell === "zsh" ? zshScript(name, levels) : bashScript(name, levels);
}

function bashScript(name: string, levels: readonly Level[]): string {
  const paths = levels.map((l) => l.path).filter((path) => path !== "");
  const values = new Map<string, Option>();
  for (const { options } of levels) {
    for (const option of options) if (takesValue(option)) values.set(option.long!, option);
  }
  const valueCases = [...values].map(([flag, option]) => {
    const { words, files } = valuesOf(option);
    const reply = files ? "compgen -f" : `compgen -W "${words.join(" ")}"`;
    return `    ${flag}) COMPREPLY=($(${reply} -- "$word")); return ;;`;
  });
  const levelCases = levels.map(({ path, commands, options, words, files }) => {
    const flags = options.flatMap(flagsOf).join(" ");
    const plain = [...commands.map((c) => c.name), ...words].join(" ");
    const more = files ? ' $(compgen -f -- "$word")' : "";
    return `    "${path}") flags="${flags}" plain="${plain}"; [[ $word == -* ]] || COMPREPLY=(${more.trim()}) ;;`;
  });
  return `# bash completion for ${name}
_${name}() {
  local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" path="" flags plain w
  COMPREPLY=()
  case "$before" in
${valueCases.join("\n")}
  esac
  for w in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "\${path:+$path }$w" in
      ${paths.map((p) => `"${p}"`).join("|")}) path="\${path:+$path }$w" ;;
    esac
  done
  case "$path" in
${levelCases.join("\n")}
  esac
  if [[ $word == -* ]]; then
    COMPREPLY=($(compgen -W "$flags" -- "$word"))
  else
    COMPREPLY+=($(compgen -W "$plain" -- "$word"))
  fi
}
complete -o filenames -F _${name} ${name}
`;
}

/** Text inside single quotes, for zsh's _arguments and for fish. */
const zshQuote = (text: string): string => text.replaceAll("'", "'\\''").replace(/[[\]:]/g, "\\$&");
const fishQuote = (text: string): string => text.replace(/[\\']/g, "\\$&");

function zshScript(name: string, levels: readonly Level[]): string {
  const functionOf = (path: string): string =>
    `_${[name, ...path.split(" ")].join("_")}`.replace(/_$/, "");
  const bodies = levels.map(({ path, commands, options, words, files }) => {
    const specs = options.map((option) => `    ${zshOption(option)}`);
    if (commands.length === 0) {
      const action = files ? "_files" : words.length > 0 ? `(${words.join(" ")})` : "";
      const argument = `    '1::argument:${action}'`;
      return `${functionOf(path)}() {\n  _arguments \\\n${[...specs, argument].join(" \\\n")}\n}\n`;
    }
    const list = commands.map((c) => `    '${c.name}:${zshQuote(c.summary)}'`);
    const cases = commands.map(
      (c) => `    ${c.name}) ${functionOf(`${path} ${c.name}`.trim())} ;;`,
    );
    return `${functionOf(path)}() {
  local line state
  local -a commands=(
${list.join("\n")}
  )
  _arguments -C \\
${[...specs, "    '1:command:->command'", "    '*::argument:->argument'"].join(" \\\n")}
  case $state in
  command) _describe command commands ;;
  argument) case $line[1] in
${cases.join("\n")}
    esac ;;
  esac
}
`;
  });
  return `#compdef ${name}\n# zsh completion for ${name}\n${bodies.join("\n")}
if [[ $funcstack[1] == _${name} ]]; then _${name} "$@"; else compdef _${name} ${name}; fi
`;
}

function zshOption(option: Option): string {
  const about = `[${zshQuote(option.description)}]`;
  const { words, files } = valuesOf(option);
  const action = files ? "_files" : words.length > 0 ? `(${words.join(" ")})` : "";
  const value = takesValue(option) ? `:value:${action}` : "";
  const flags = flagsOf(option);
  if (flags.length === 1) return `'${flags[0]}${about}${value}'`;
  return `'(${flags.join(" ")})'{${flags.join(",")}}'${about}${value}'`;
}

function fishScript(name: string, levels: readonly Level[]): string {
  const lines = levels.flatMap(({ path, commands, options, words, files }) => {
    const steps = path === "" ? [] : path.split(" ");
    const here = [
      ...(path === "" ? [] : [`__fish_seen_subcommand_from ${steps.at(-1)}`]),
      ...(commands.length > 0
        ? [`not __fish_seen_subcommand_from ${commands.map((c) => c.name).join(" ")}`]
        : []),
    ].join("; and ");
    const start = `complete -c ${name}${here === "" ? "" : ` -n '${here}'`}`;
    return [
      ...commands.map((c) => `${start} -f -a ${c.name} -d '${fishQuote(c.summary)}'`),
      ...(words.length > 0 ? [`${start} -f -a '${words.join(" ")}'`] : []),
      ...(files ? [`${start} -F`] : []),
      ...options.map((option) => `${start} ${fishOption(option)}`),
    ];
  });
  return `# fish completion for ${name}\ncomplete -c ${name} -f\n${lines.join("\n")}\n`;
}

function fishOption(option: Option): string {
  const { words, files } = valuesOf(option);
  const value = files
    ? " -r -F"
    : words.length > 0
      ? ` -x -a '${words.join(" ")}'`
      : takesValue(option)
        ? " -x"
        : "";
  const short = option.short === undefined ? "" : `-s ${option.short.slice(1)} `;
  return `${short}-l ${option.long!.slice(2)}${value} -d '${fishQuote(option.description)}'`;
}
