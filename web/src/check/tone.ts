/** Sounds that the page makes itself: the tone of the speaker check and the soft chime of the waiting room. */
import { chosenDevice } from "../media/chosen";

interface Note {
  readonly hz: number;
  readonly atS: number;
  readonly lengthS: number;
}

const CHECK: readonly Note[] = [
  { hz: 523.25, atS: 0, lengthS: 0.5 },
  { hz: 659.25, atS: 0.45, lengthS: 0.5 },
  { hz: 783.99, atS: 0.9, lengthS: 0.9 },
];
const CHIME: readonly Note[] = [
  { hz: 659.25, atS: 0, lengthS: 0.5 },
  { hz: 880, atS: 0.28, lengthS: 0.8 },
];
const LOUD = 0.35;
const SOFT = 0.18;

let shared: AudioContext | null = null;

/** A browser that lets a page sound only after a touch is prepared for it by calling this in one. */
export function prepareSound(): void {
  shared ??= new AudioContext();
  void shared.resume();
}

/** Three rising notes; resolves when they are over. */
export const playCheckTone = (): Promise<void> => play(CHECK, LOUD);

/** Two soft notes: somebody lets you in. */
export const playChime = (): Promise<void> => play(CHIME, SOFT);

async function play(notes: readonly Note[], gain: number): Promise<void> {
  prepareSound();
  const context = shared;
  if (context === null) return;
  await useChosenSpeaker(context);
  const begin = context.currentTime + 0.05;
  for (const note of notes) ring(context, note, begin, gain);
  const length = Math.max(...notes.map((note) => note.atS + note.lengthS)) + 0.05;
  await new Promise((resolve) => setTimeout(resolve, length * 1000));
}

function ring(context: AudioContext, note: Note, begin: number, loudness: number): void {
  const oscillator = context.createOscillator();
  const volume = context.createGain();
  const start = begin + note.atS;
  oscillator.frequency.value = note.hz;
  volume.gain.setValueAtTime(0, start);
  volume.gain.linearRampToValueAtTime(loudness, start + 0.03);
  volume.gain.exponentialRampToValueAtTime(0.001, start + note.lengthS);
  oscillator.connect(volume).connect(context.destination);
  oscillator.start(start);
  oscillator.stop(start + note.lengthS);
}

/** Whether this browser lets a page choose the speaker. */
export const canChooseSpeaker = (): boolean =>
  typeof AudioContext !== "undefined" && "setSinkId" in AudioContext.prototype;

type WithSink = AudioContext & { setSinkId(id: string): Promise<void> };

async function useChosenSpeaker(context: AudioContext): Promise<void> {
  const id = chosenDevice("speaker");
  if (id === null || !canChooseSpeaker()) return;
  await (context as WithSink).setSinkId(id).catch(() => undefined); // gone meanwhile: the browser's own
}
