/** A question's name, and its possible answers in the order of the logits. */
export type Questions = Readonly<Record<string, readonly string[]>>;

/** Everything that shapes a judge: a classifier that says what is in a picture. */
export interface JudgeConfig {
  /** Width and height of the pictures in pixels. */
  readonly sampleSize: number;
  /** Channels of each level, fine to coarse; each level halves the size. Multiples of 16 are fast. */
  readonly blockOutChannels: readonly number[];
  /** ResNet blocks of each level. */
  readonly layersPerBlock: readonly number[];
  readonly normNumGroups: number;
  /** What is asked about the whole picture. */
  readonly sceneQuestions: Questions;
  /** Kinds of things that are looked for. */
  readonly kinds: readonly string[];
  /** What is asked about each kind. */
  readonly kindQuestions: Questions;
}

/** Width and height of the coarsest level. */
export function judgeMapSize({ sampleSize, blockOutChannels }: JudgeConfig): number {
  return sampleSize / 2 ** blockOutChannels.length;
}
