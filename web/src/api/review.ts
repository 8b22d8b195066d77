/** What was stored of a consultation, over HTTP: waves of a window, numbers in columns, files for other programs. */
import { ApiError, call } from "./client";
import type { TrendAnswer } from "./types";

export type View = "raw" | "monitor" | "diagnostic";
export type ExportFormat = "edf" | "wfdb" | "csv";

export interface WavesQuery {
  readonly kind: string;
  readonly from_us: number;
  readonly to_us: number;
  readonly view: View;
  readonly columns?: number;
}

export interface WavesAnswer {
  /** Null: what was known by the sent tag still holds. */
  readonly bytes: Uint8Array | null;
  readonly etag: string | null;
}

export interface ExportWish {
  readonly format: ExportFormat;
  readonly from_us: number;
  readonly to_us: number;
  /** The patient's name and year of birth go into the files; both ways are audited. */
  readonly identified: boolean;
}

export interface ExportFile {
  readonly name: string;
  readonly data: Blob;
}

const pathOf = (id: string, what: string, query: object): string => {
  const search = new URLSearchParams(Object.entries(query).map(([key, value]) => [key, String(value)]));
  return `/api/v1/consultations/${id}/${what}?${search}`;
};

const asked = (path: string, signal: AbortSignal, headers: Readonly<Record<string, string>> = {}) =>
  call("GET", path, undefined, undefined, signal, headers);

/** The body of an answer; a line that breaks in the middle of it is no connection. */
async function whole<T>(body: Promise<T>): Promise<T> {
  try {
    return await body;
  } catch {
    throw new ApiError("no_connection", {}, 0);
  }
}

/** The file's name as the server gives it, or none. */
export function nameOf(disposition: string | null): string | null {
  return /filename="([^"/\\]+)"/.exec(disposition ?? "")?.[1] ?? null;
}

export const review = {
  /** Samples of a window; `etag` is of the answer that the page has already. */
  waves: async (id: string, query: WavesQuery, etag: string | null, signal: AbortSignal): Promise<WavesAnswer> => {
    const path = pathOf(id, "waves", query);
    const response = await asked(path, signal, etag === null ? {} : { "If-None-Match": etag });
    const now = response.headers.get("ETag");
    if (response.status === 304) return { bytes: null, etag: now ?? etag };
    return { bytes: new Uint8Array(await whole(response.arrayBuffer())), etag: now };
  },
  /** The devices' numbers of a window in columns. */
  trend: async (
    id: string,
    fromUs: number,
    toUs: number,
    columns: number,
    signal: AbortSignal,
  ): Promise<TrendAnswer> => {
    const path = pathOf(id, "trend", { from_us: fromUs, to_us: toUs, columns });
    return whole((await asked(path, signal)).json() as Promise<TrendAnswer>);
  },
  /** A window as files in one zip. It may take minutes; `signal` gives it up. */
  exported: async (id: string, wish: ExportWish, signal: AbortSignal): Promise<ExportFile> => {
    const path = pathOf(id, "export", { ...wish, identified: wish.identified ? 1 : 0 });
    const response = await asked(path, signal);
    const name = nameOf(response.headers.get("Content-Disposition")) ?? `telemed-${wish.format}.zip`;
    return { name, data: await whole(response.blob()) };
  },
};
