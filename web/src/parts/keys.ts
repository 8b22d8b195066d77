/** Single keys as commands, heard as soon as they are drawn, outside fields where one types, without Ctrl, Alt and Meta. */
import { useLayoutEffect } from "preact/hooks";

export type KeyCommands = Readonly<Record<string, (event: KeyboardEvent) => void>>;

/** Physical keys first (KeyF), so that they work on a Cyrillic layout; then the character ("?", "="). */
export function commandOf(event: KeyboardEvent, commands: KeyCommands): KeyCommands[string] | undefined {
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat) return undefined;
  if (event.target instanceof Element && event.target.closest("input, textarea, select, dialog") !== null) {
    return undefined;
  }
  return commands[event.key] ?? commands[event.code];
}

/** Alt with a digit of the main row, wherever the focus is: the panel's tabs. Text can be written on undisturbed. */
export function useAltDigits(choose: (digit: number) => void): void {
  useLayoutEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      const digit = /^Digit([1-9])$/.exec(event.code)?.[1];
      if (digit === undefined || !event.altKey || event.ctrlKey || event.metaKey || event.repeat) return;
      event.preventDefault();
      choose(Number(digit));
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  });
}

export function useKeys(commands: KeyCommands): void {
  useLayoutEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      const command = commandOf(event, commands);
      if (command === undefined) return;
      event.preventDefault();
      command(event);
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  });
}
