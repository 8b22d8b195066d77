/** For a role without pages of its own: what it can do today, and where that is written. */
import { t } from "../i18n";
import type { Key } from "../i18n/keys";
import { account } from "../parts/account";
import { Shell } from "../parts/Shell";
import { OrganisationPhone } from "./OrganisationPhone";

/** What the server's table of rights grants, in words. */
const RIGHTS: Record<
  "administrator" | "auditor",
  { readonly title: Key; readonly rights: readonly (readonly [Key, string])[] }
> = {
  administrator: {
    title: "role.administrator",
    rights: [
      ["role.accounts", "/api/v1/accounts"],
      ["role.stations", "/api/v1/stations"],
      ["role.station_events", "/api/v1/stations/{id}/events"],
      ["role.holds", "/api/v1/patients/{id}/holds"],
      ["role.erase", "/api/v1/patients/{id}/erase"],
      ["role.destroy_key", "/api/v1/patients/{id}/key"],
      ["role.audit", "/api/v1/audit"],
    ],
  },
  auditor: {
    title: "role.auditor",
    rights: [
      ["role.audit", "/api/v1/audit"],
      ["role.consents", "/api/v1/patients/{id}/consents"],
      ["role.station_keys", "/api/v1/stations/{id}/keys"],
      ["role.station_events", "/api/v1/stations/{id}/events"],
    ],
  },
};

/** Whether somebody with these roles has a work list. */
export const hasWorkList = (roles: readonly string[]): boolean =>
  roles.includes("clinician") || roles.includes("operator");

export function RolePage() {
  const held = account.value?.roles ?? [];
  return (
    <Shell>
      <div class="page plain">
        <h1>{t("role.title")}</h1>
        <p>{t("role.lead")}</p>
        {(["administrator", "auditor"] as const)
          .filter((role) => held.includes(role))
          .map((role) => (
            <section key={role} aria-labelledby={`role-${role}`}>
              <h2 id={`role-${role}`}>{t(RIGHTS[role].title)}</h2>
              <ul class="rights">
                {RIGHTS[role].rights.map(([words, path]) => (
                  <li key={words}>
                    <span>{t(words)}</span>
                    <code>{path}</code>
                  </li>
                ))}
              </ul>
            </section>
          ))}
        {held.includes("administrator") && (
          <section aria-labelledby="organisation-title">
            <h2 id="organisation-title">{account.value?.organisation.name}</h2>
            <OrganisationPhone />
          </section>
        )}
        <p>
          <a href="/openapi.json">{t("role.document")}</a>
        </p>
      </div>
    </Shell>
  );
}
