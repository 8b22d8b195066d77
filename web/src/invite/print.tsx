/** The printed invitation: one A4 page in large type, outside of the application, so that printing shows nothing else. */
import { render } from "preact";
import type { Invitation } from "../api/staff";
import type { ConsultationInfo } from "../api/types";
import { wordsIn } from "../i18n";
import type { Key } from "../i18n/keys";
import { clockTime } from "../i18n/numbers";
import { account } from "../parts/account";
import { sheetNames, sheetParts } from "./sheet";

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
  const { consultation, invitation, language } = props;
  const say = (key: Key, params?: Record<string, string>) => wordsIn(language, key, params);
  const phone = account.value?.organisation.phone ?? "";
  const at = consultation.state === "scheduled" ? consultation.scheduled_at : null;
  const { when, paragraphs } = sheetParts(
    invitation.words[language],
    invitation.link,
    say("sheet.how", { when: at === null ? "now" : "at" }),
    at === null ? null : clockTime(Date.parse(at)),
  );
  const names = sheetNames(
    invitation.ticket.role,
    consultation.patient.name,
    consultation.clinician === null ? null : consultation.clinician.name,
  );
  return (
    <article class="sheet">
      <header>
        <p>{account.value?.organisation.name}</p>
        <h1>{say("sheet.title")}</h1>
        {names.patient !== null && <p class="sheet-name">{say("sheet.for", { patient: names.patient })}</p>}
        {names.clinician !== null && <p class="sheet-name">{say("sheet.clinician", { clinician: names.clinician })}</p>}
        {when !== null && <p class="sheet-time">{when}</p>}
      </header>
      <div class="sheet-words">
        {paragraphs.map((paragraph) => (
          <p key={paragraph}>{paragraph}</p>
        ))}
      </div>
      <footer>
        <img src={props.qr} alt="" width="230" height="230" />
        {phone !== "" && <p class="sheet-phone">{phone}</p>}
        <div>
          <p>{say("sheet.computer")}</p>
          <p class="sheet-link">{invitation.link}</p>
        </div>
      </footer>
    </article>
  );
}
