/** Sign in with login and password. The same sentence answers every wrong combination. */
import { useSignal } from "@preact/signals";
import { ApiError, api } from "../api/client";
import { errorSentence, t } from "../i18n";
import { signedIn } from "../parts/account";
import { ErrorNote, Shell } from "../parts/Shell";
import { addressOf } from "../router";

export function SignInPage() {
  const busy = useSignal(false);
  const fault = useSignal<ApiError | null>(null);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    busy.value = true;
    fault.value = null;
    try {
      signedIn(await api.signIn(String(form.get("login")), String(form.get("password"))));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      fault.value = error;
    } finally {
      busy.value = false;
    }
  };
  return (
    <Shell>
      <div class="signin">
        <section class="signin-card" aria-labelledby="signin-title">
          <h1 id="signin-title">{t("signin.title")}</h1>
          <p class="muted">{t("signin.lead")}</p>
          <form onSubmit={submit}>
            <label>
              <span>{t("signin.login")}</span>
              <input name="login" autocomplete="username" required minLength={3} maxLength={120} spellcheck={false} />
            </label>
            <label>
              <span>{t("signin.password")}</span>
              <input name="password" type="password" autocomplete="current-password" required maxLength={1024} />
            </label>
            {fault.value !== null && <ErrorNote sentence={errorSentence(fault.value.code, fault.value.params)} />}
            <button type="submit" class="primary" disabled={busy.value}>
              {busy.value ? t("signin.busy") : t("signin.submit")}
            </button>
          </form>
        </section>
        <p class="signin-foot">
          {t("disclaimer.short")} <a href={addressOf({ page: "help" })}>{t("disclaimer.more")}</a>
        </p>
      </div>
    </Shell>
  );
}
