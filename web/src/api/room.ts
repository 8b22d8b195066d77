/**
 * The API of a consultation's room, for staff and guests. A guest names its seat (`as`) with every request; without one
 * the sign-in counts.
 */
import type { ErrorBody } from "../protocol/messages";
import type { Line, SeatState } from "../protocol/people";
import { ApiError, call, json } from "./client";
import type { ConsultationInfo } from "./types";

const ROOT = "/api/v1";

/** A path with the seat that asks, and any other query. */
export function pathAs(path: string, as: string | null, query: Readonly<Record<string, string>> = {}): string {
  const search = new URLSearchParams(as === null ? query : { ...query, as });
  return search.size === 0 ? path : `${path}?${search}`;
}

export const room = {
  chat: (id: string, as: string | null, after: number) =>
    json<{ lines: Line[] }>("GET", pathAs(`/consultations/${id}/chat`, as, { after: String(after) })),
  decideSeat: (id: string, seat: string, decision: "admit" | "refuse" | "remove") =>
    json<{ id: string; state: SeatState }>("POST", `/consultations/${id}/seats/${seat}/${decision}`),
  handOver: (id: string, clinician: string) =>
    json<ConsultationInfo>("POST", `/consultations/${id}/handover`, { clinician_id: clinician }),
  shareVitals: (id: string, shared: boolean) =>
    json<ConsultationInfo>("POST", `/consultations/${id}/vitals`, { shared }),
  addColleague: async (id: string, account: string): Promise<void> =>
    void (await call("POST", `${ROOT}/consultations/${id}/participants`, JSON.stringify({ account_id: account }))),
  removeColleague: async (id: string, account: string): Promise<void> =>
    void (await call("DELETE", `${ROOT}/consultations/${id}/participants/${account}`)),
};

/** Where a shared file's bytes are. `inline` is for pictures only. */
export function fileAddress(id: string, as: string | null, file: string, inline = false): string {
  return pathAs(`${ROOT}/consultations/${id}/files/${file}`, as, inline ? { inline: "1" } : {});
}

/** A picture's bytes, for showing on the page. */
export async function fetchPicture(id: string, as: string | null, file: string): Promise<Blob> {
  return (await call("GET", fileAddress(id, as, file, true))).blob();
}

/** Send a file under the author's name for its line; `onProgress` hears the bytes that left. Rejects with ApiError. */
export function uploadFile(
  id: string,
  as: string | null,
  line: string,
  file: File,
  onProgress: (sent: number) => void,
): Promise<Line> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", pathAs(`${ROOT}/consultations/${id}/files`, as, { name: file.name, line }));
    request.setRequestHeader("Content-Type", file.type === "" ? "application/octet-stream" : file.type);
    request.upload.onprogress = (event) => onProgress(event.loaded);
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) resolve(JSON.parse(request.responseText) as Line);
      else reject(refusalOf(request));
    };
    request.onerror = () => reject(new ApiError("no_connection", {}, 0));
    request.onabort = () => reject(new ApiError("no_connection", {}, 0));
    request.send(file);
  });
}

function refusalOf(request: XMLHttpRequest): ApiError {
  try {
    const { error } = JSON.parse(request.responseText) as { error: ErrorBody };
    return new ApiError(error.code, error.params ?? {}, request.status);
  } catch {
    return new ApiError(request.status >= 500 ? "internal_error" : "invalid_request", {}, request.status);
  }
}
