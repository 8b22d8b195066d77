/** Speaks, politely and without taking the focus, who comes and goes and what is said. Not seen. */
import { useSignal, useSignalEffect } from "@preact/signals";
import { useRef } from "preact/hooks";
import { t } from "../i18n";
import type { Person } from "../protocol/people";
import type { RoomConnection } from "./connection";
import { type News, newLines, newsOfPeople } from "./news";
import { nameOf } from "./words";

/** Sentences kept in the region: what was spoken is no history. */
const KEPT = 5;

export function Announcer({ room }: { room: RoomConnection }) {
  const spoken = useSignal<readonly { readonly id: number; readonly words: string }[]>([]);
  const people = useRef<readonly Person[] | null>(null);
  const heard = useRef<number | null>(null);
  const count = useRef(0);
  const speak = (news: readonly News[]) => {
    if (news.length === 0) return;
    const more = news.map((one) => ({ id: count.current++, words: words(one) }));
    spoken.value = [...spoken.peek(), ...more].slice(-KEPT);
  };
  useSignalEffect(() => {
    const now = room.people.value;
    const me = room.me.peek();
    if (me === null) return;
    const before = people.current;
    people.current = now;
    if (before !== null) speak(newsOfPeople(before, now, me));
  });
  useSignalEffect(() => {
    const lines = room.lines.value;
    // What was said before one came is read, not spoken.
    if (!room.caughtUp.value) return;
    const before = heard.current;
    heard.current = lines.length;
    const news = before === null ? [] : newLines(lines, before, room.me.peek());
    speak(news.map((line) => ({ what: "said", line })));
  });
  return (
    <div class="visually-hidden" role="log" aria-live="polite" aria-relevant="additions" data-announcer>
      {spoken.value.map((one) => (
        <p key={one.id}>{one.words}</p>
      ))}
    </div>
  );
}

function words(news: News): string {
  switch (news.what) {
    case "came":
      return t("people.came", { who: nameOf(news.person) });
    case "left":
      return t("people.left", { who: nameOf(news.person) });
    case "door":
      return t("people.at_the_door", { who: nameOf(news.person) });
    case "said":
      return news.line.file === null
        ? t("chat.spoken", { who: nameOf(news.line.by), text: news.line.text })
        : t("chat.spoken_file", { who: nameOf(news.line.by), name: news.line.file.name });
  }
}
