/** "1 picture", "3 pictures"; `many` is what follows every other number than one. */
export function counted(count: number, one: string, many: string = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
