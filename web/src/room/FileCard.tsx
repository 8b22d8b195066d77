/** A shared file: its name, size and hash; a picture is shown, anything else is downloaded. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { fetchPicture, fileAddress } from "../api/room";
import { t } from "../i18n";
import { decimal } from "../i18n/numbers";
import { Icon } from "../parts/Icon";
import type { SharedFile } from "../protocol/people";
import type { RoomConnection } from "./connection";
import { sizeWords } from "./words";

/** What the server gives inline; everything else it gives as a download only. */
const PICTURES = new Set(["image/jpeg", "image/png", "image/webp", "image/gif"]);
/** Larger pictures are downloaded, not shown. */
export const PREVIEW_MOST = 12 * 1024 * 1024;
/** As many figures of the hash as one compares by eye; the whole of it is in the title. */
const HASH_SHOWN = 12;

/** `hash`: for whoever may have to compare it. */
export function FileCard({ room, file, hash = true }: { room: RoomConnection; file: SharedFile; hash?: boolean }) {
  return (
    <div class="chat-file" data-file={file.id}>
      {PICTURES.has(file.media_type) && file.bytes <= PREVIEW_MOST && <Preview room={room} file={file} />}
      <p class="chat-file-name">
        {file.name} <span class="muted numbers">{sizeWords(file.bytes, decimal)}</span>
      </p>
      {hash && (
        <p class="chat-hash muted numbers" title={file.sha256}>
          SHA-256 {file.sha256.slice(0, HASH_SHOWN)}…
        </p>
      )}
      <a class="button" href={fileAddress(room.id, room.as, file.id)} download={file.name}>
        <Icon name="download" size={20} />
        {t("chat.download")}
        <span class="visually-hidden"> {file.name}</span>
      </a>
    </div>
  );
}

function Preview({ room, file }: { room: RoomConnection; file: SharedFile }) {
  const address = useSignal<string | null>(null);
  useEffect(() => {
    let made: string | null = null;
    let gone = false;
    void fetchPicture(room.id, room.as, file.id)
      .then((bytes) => {
        if (gone) return;
        made = URL.createObjectURL(bytes);
        address.value = made;
      })
      .catch(() => undefined); // The name and the download stay.
    return () => {
      gone = true;
      if (made !== null) URL.revokeObjectURL(made);
    };
  }, [room, file.id]);
  if (address.value === null) return null;
  return <img class="chat-picture" src={address.value} alt={t("chat.picture", { name: file.name })} />;
}
