/** Another page of the same person took over: this one is still, and can take the place back. */
import { useEffect, useRef } from "preact/hooks";
import { t } from "../i18n";
import type { RoomConnection } from "./connection";

export function ElsewhereNote({ room }: { room: RoomConnection }) {
  const button = useRef<HTMLButtonElement>(null);
  const shown = room.elsewhere.value;
  useEffect(() => {
    if (shown) button.current?.focus();
  }, [shown]);
  if (!shown) return null;
  return (
    <div class="elsewhere" role="alertdialog" aria-labelledby="elsewhere-title" aria-describedby="elsewhere-text">
      <h2 id="elsewhere-title">{t("elsewhere.title")}</h2>
      <p id="elsewhere-text">{t("elsewhere.text")}</p>
      <button
        ref={button}
        type="button"
        class="button primary"
        data-command="continue-here"
        onClick={() => room.continueHere()}
      >
        {t("elsewhere.here")}
      </button>
    </div>
  );
}
