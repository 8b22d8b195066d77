/** The printed invitation: one A4 page in large type, outside of the application, so that printing shows nothing else. */
import { render } from "preact";
import type { Invitation } from "../api/staff";
import type { ConsultationInfo } from "../api/types";
import { wordsIn } from "../i18n";
import { zone } from "../i18n/numbers";
import { account } from "../parts/account";
import { sheetParts } from "./sheet";

/** Print the invitation in this language; `qr` is the address of its picture. */
export function printSheet(
  consultation: ConsultationInfo,
  invitation: Invitation,
  language: "bg" | "en",
  qr: string,
): void {
  const sheet = document.createElement("div");
  sheet.className = "print-sheet";
  sheet.lang = language;
  document.body.append(sheet);
  const gone = () => {
    removeEventListener("afterprint", gone);
    render(null, sheet);
    sheet.remove();
  };
  addEventListener("afterprint", gone);
  render(<Sheet consultation={consultation} invitation={invitation} language={language} qr={qr} />, sheet);
  const picture = sheet.querySelector("img");
  // A page printed before the picture is there has a hole where the way in should be.
  void (picture?.decode() ?? Promise.resolve()).catch(() => undefined).then(() => print());
}

function Sheet(props: { consultation: ConsultationInfo; invitation: Invitation; language: "bg" | "en"; qr: string }) {
  const { invitation, language } = props;
  const phone = account.value?.organisation.phone ?? "";
  const at = props.consultation.state === "scheduled" ? props.consultation.scheduled_at : null;
  const how = wordsIn(language, "sheet.how", { when: at === null ? "now" : "at" });
  const { paragraphs } = sheetParts(invitation.words[language], invitation.link, how);
  return (
    <article class="sheet">
      <header>
        <p>{account.value?.organisation.name}</p>
        <h1>{invitation.subject[language]}</h1>
        {at !== null && <p class="sheet-time">{timeWords(at, language)}</p>}
      </header>
      <div class="sheet-words">
        {paragraphs.map((paragraph) => (
          <p key={paragraph}>{paragraph}</p>
        ))}
      </div>
      <footer>
        <img src={props.qr} alt="" width="230" height="230" />
        {phone !== "" && <p class="sheet-phone">{phone}</p>}
        <p class="sheet-link">{invitation.link}</p>
      </footer>
    </article>
  );
}

function timeWords(at: string, language: "bg" | "en"): string {
  return new Intl.DateTimeFormat(language === "bg" ? "bg" : "en-GB", {
    timeZone: zone.value,
    weekday: "long",
    day: "numeric",
    month: "long",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  }).format(Date.parse(at));
}
