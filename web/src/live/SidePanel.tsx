/** Beside the picture: who is here, the chat, the patient. One at a time; Alt+1, 2, 3 choose. */
import type { Signal } from "@preact/signals";
import { useSignal, useSignalEffect } from "@preact/signals";
import type { ConsultationInfo } from "../api/types";
import { t } from "../i18n";
import type { Key } from "../i18n/keys";
import { Icon, type IconName } from "../parts/Icon";
import { ChatPanel } from "../room/ChatPanel";
import { newLines } from "../room/news";
import { PeoplePanel } from "../room/PeoplePanel";
import type { LiveConsultation } from "./consultation";
import { PatientTab } from "./PatientTab";
import type { Standing } from "./standing";

export const TABS = ["people", "chat", "patient"] as const;
export type Tab = (typeof TABS)[number];

const FACES: Record<Tab, { readonly icon: IconName; readonly words: Key }> = {
  people: { icon: "people", words: "panel.people" },
  chat: { icon: "chat", words: "panel.chat" },
  patient: { icon: "card", words: "panel.patient" },
};

export type PanelQuestion = "handover" | "colleague" | "invite";

interface SidePanelProps {
  readonly live: LiveConsultation;
  readonly tab: Signal<Tab>;
  readonly standing: Standing;
  readonly over: boolean;
  readonly onAsk: (what: PanelQuestion) => void;
}

export function SidePanel({ live, tab, standing, over, onAsk }: SidePanelProps) {
  const { room } = live;
  const seen = useSignal(0);
  const here = tab.value;
  useSignalEffect(() => {
    if (tab.value === "chat") seen.value = room.lines.value.length;
  });
  const unread = here === "chat" ? 0 : newLines(room.lines.value, seen.value, room.me.value).length;
  const atDoor = room.people.value.filter((person) => person.seat === "waiting").length;
  const counts: Record<Tab, number> = { people: atDoor, chat: unread, patient: 0 };
  const info = room.info.value;
  const takesPart = standing === "clinician" || standing === "second";
  const choose = (by: number) => {
    const at = (TABS.indexOf(here) + by + TABS.length) % TABS.length;
    tab.value = TABS[at] ?? "people";
    document.getElementById(`tab-${tab.value}`)?.focus();
  };
  return (
    <section class="side-panel" aria-label={t("panel.title")}>
      <div
        class="tabs"
        role="tablist"
        aria-label={t("panel.title")}
        onKeyDown={(event) => {
          if (event.key === "ArrowRight") choose(1);
          else if (event.key === "ArrowLeft") choose(-1);
          else return;
          event.preventDefault();
        }}
      >
        {TABS.map((one, index) => (
          <button
            key={one}
            type="button"
            role="tab"
            id={`tab-${one}`}
            class="tab"
            data-tab={one}
            aria-selected={one === here}
            aria-controls="side-panel-body"
            aria-keyshortcuts={`Alt+${index + 1}`}
            tabIndex={one === here ? 0 : -1}
            title={`${t(FACES[one].words)} (Alt+${index + 1})`}
            onClick={() => {
              tab.value = one;
            }}
          >
            <Icon name={FACES[one].icon} size={20} />
            <span class="tab-words">{t(FACES[one].words)}</span>
            {counts[one] > 0 && (
              <span class="tab-count numbers" data-count={counts[one]}>
                <span aria-hidden="true">{counts[one] > 99 ? "99+" : counts[one]}</span>
                <span class="visually-hidden">{countWords(one, counts[one])}</span>
              </span>
            )}
          </button>
        ))}
      </div>
      <div class="side-panel-body" role="tabpanel" id="side-panel-body" aria-labelledby={`tab-${here}`} tabIndex={-1}>
        {here === "people" && (
          <PeoplePanel room={room} decides={takesPart && !over}>
            {info !== null && !over && <PeopleActions standing={standing} onAsk={onAsk} />}
          </PeoplePanel>
        )}
        {here === "chat" && <ChatPanel room={room} closed={chatClosed(takesPart, info)} />}
        {here === "patient" && <PatientTab live={live} standing={standing} over={over} />}
      </div>
    </section>
  );
}

const countWords = (tab: Tab, count: number): string =>
  tab === "chat" ? t("panel.unread", { count }) : t("panel.waiting", { count });

function chatClosed(takesPart: boolean, info: ConsultationInfo | null): string | null {
  if (info === null) return t("chat.not_yet");
  if (["cancelled", "no_show", "ended", "signed", "amended"].includes(info.state)) return t("chat.over");
  return takesPart ? null : t("chat.not_yet");
}

function PeopleActions(props: { standing: Standing; onAsk: (what: PanelQuestion) => void }) {
  const leads = props.standing === "clinician";
  if (!leads && props.standing !== "free") return null;
  return (
    <div class="panel-actions">
      <button type="button" class="button" data-command="invite" onClick={() => props.onAsk("invite")}>
        <Icon name="invite" size={20} />
        {t("live.invite")}
      </button>
      {leads && (
        <>
          <button type="button" class="button" data-command="colleague" onClick={() => props.onAsk("colleague")}>
            <Icon name="people" size={20} />
            {t("live.colleague")}
          </button>
          <button type="button" class="button" data-command="handover" onClick={() => props.onAsk("handover")}>
            <Icon name="swap" size={20} />
            {t("live.handover")}
          </button>
        </>
      )}
    </div>
  );
}
