/** How loud a microphone is, in steps of a bar. */

/** Steps of the bar. */
export const STEPS = 10;
/** At and below this nothing is lit; a voice at arm's length comes to about −25 dB. */
const FLOOR_DB = -60;
const TOP_DB = -12;
/** So many steps are a voice and no longer the room. */
export const VOICE_STEPS = 4;
const LOOK_MS = 100;

/** Lit steps for samples in −1 … 1. */
export function stepsOf(samples: Float32Array): number {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  const db = 10 * Math.log10(sum / Math.max(1, samples.length) + 1e-12);
  return Math.max(0, Math.min(STEPS, Math.round(((db - FLOOR_DB) / (TOP_DB - FLOOR_DB)) * STEPS)));
}

/** Tell the lit steps of this track ten times a second until the answer is called. */
export function watchLevel(track: MediaStreamTrack, tell: (steps: number) => void): () => void {
  const context = new AudioContext();
  const source = context.createMediaStreamSource(new MediaStream([track]));
  const analyser = context.createAnalyser();
  analyser.fftSize = 2048;
  source.connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const timer = setInterval(() => {
    // Where the browser waits for a touch before any sound, every touch is a new chance.
    if (context.state === "suspended") void context.resume();
    analyser.getFloatTimeDomainData(samples);
    tell(stepsOf(samples));
  }, LOOK_MS);
  return () => {
    clearInterval(timer);
    source.disconnect();
    void context.close();
  };
}
